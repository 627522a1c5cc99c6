"""Put the shipped policies into docs/zoo.md: `python scripts/zoo.py`."""

from pathlib import Path

import tyro

from sim2real.files import write_text
from sim2real.runs.zoo import zoo


def main(page: Path = Path("docs/zoo.md")):
    write_text(page, zoo())


if __name__ == "__main__":
    tyro.cli(main)
