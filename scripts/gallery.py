"""Draw the README's picture of all reference policies: `python scripts/gallery.py`."""

from pathlib import Path

import tyro

from sim2real.runs.gallery import gallery


def main(out: Path = Path("docs/gallery.gif"), columns: int = 5, frames: int = 30):
    print(gallery(out, columns, frames))


if __name__ == "__main__":
    tyro.cli(main)
