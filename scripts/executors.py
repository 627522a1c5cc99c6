"""What running a study costs on each executor: `python scripts/executors.py`."""

import json

import tyro

from sim2real.benchmark.executors import ExecutorsConfig, executors


def main(config: tyro.conf.OmitArgPrefixes[ExecutorsConfig]):
    for line in executors(config):
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    tyro.cli(main)
