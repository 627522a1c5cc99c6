"""Publish a run's policy with its card: `python scripts/publish.py runs/hopper shared/hopper`."""

from pathlib import Path

import tyro

from sim2real.runs.publish import publish


def main(run: tyro.conf.Positional[Path], out: tyro.conf.Positional[Path], episodes: int = 100):
    print(publish(run, out, episodes=episodes) / "card.md")


if __name__ == "__main__":
    tyro.cli(main)
