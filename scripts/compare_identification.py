"""Identify targets by several methods: `python scripts/compare_identification.py`; it resumes."""

import torch
import tyro

from sim2real.benchmark.identification import IdentificationConfig, comparison


def main(config: tyro.conf.OmitArgPrefixes[IdentificationConfig]):
    torch.set_num_threads(1)
    for line in comparison(config):
        print(line, flush=True)


if __name__ == "__main__":
    tyro.cli(main)
