"""Identify random targets of families: `python scripts/recovery.py`; it resumes."""

import torch
import tyro

from sim2real.benchmark.recovery import RecoveryConfig, recovery


def main(config: tyro.conf.OmitArgPrefixes[RecoveryConfig]):
    torch.set_num_threads(1)
    for line in recovery(config):
        print(line, flush=True)


if __name__ == "__main__":
    tyro.cli(main)
