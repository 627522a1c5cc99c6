"""Mean return in several worlds: `python scripts/evaluate.py runs/hopper --domains mild hard`."""

from pathlib import Path

import tyro

import sim2real as s2r


def main(path: tyro.conf.Positional[Path], domains: tuple[str, ...] = ("nominal", "hard")):
    run = s2r.load_run(path)
    for domain in domains:
        rows = s2r.evaluate(run.policy, run.task, domain, episodes=100, seed=0)
        print(f"{domain}: {sum(row.total for row in rows) / len(rows):,.0f}")


if __name__ == "__main__":
    tyro.cli(main)
