"""Methods x targets x seeds, one report: `python scripts/study.py studies/demo.yaml`."""

from pathlib import Path

import tyro

import sim2real as s2r


def main(file: tyro.conf.Positional[Path]):
    print(s2r.study(file))


if __name__ == "__main__":
    tyro.cli(main)
