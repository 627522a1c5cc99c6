"""Methods x targets x seeds, one report: `python scripts/study.py studies/demo.yaml`."""

from pathlib import Path

import tyro

import sim2real as s2r


def main(file: tyro.conf.Positional[Path]):
    for name, target in s2r.study(file)["targets"].items():
        for label, method in target["methods"].items():
            print(f"{label} in {name}: score {method['score_after']['value']:.2f}")


if __name__ == "__main__":
    tyro.cli(main)
