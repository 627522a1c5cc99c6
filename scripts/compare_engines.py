"""Agreement and speed of MuJoCo Warp on this machine: `python scripts/compare_engines.py`."""

import sys

import rich
import tyro

from sim2real.benchmark.engines import EnginesConfig, compare_engines, tables


def main(config: tyro.conf.OmitArgPrefixes[EnginesConfig], json: bool = False):
    result = compare_engines(config, report=lambda line: print(line, file=sys.stderr))
    if json:
        return rich.print_json(data=result)
    return rich.print(*tables(result))


if __name__ == "__main__":
    tyro.cli(main, config=(tyro.conf.FlagCreatePairsOff,))
