"""Steps per second against the usual ways: `python scripts/benchmark.py --json`."""

import sys

import rich
import tyro

from sim2real.benchmark import BenchmarkConfig, benchmark, tables


def main(config: tyro.conf.OmitArgPrefixes[BenchmarkConfig], json: bool = False):
    result = benchmark(config, report=lambda line: print(line, file=sys.stderr))
    if json:
        return rich.print_json(data=result)
    return rich.print(*tables(result))


if __name__ == "__main__":
    tyro.cli(main, config=(tyro.conf.FlagCreatePairsOff,))
