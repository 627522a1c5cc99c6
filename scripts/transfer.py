"""Move a policy to another world: `python scripts/transfer.py runs/hopper --domain hard`."""

from pathlib import Path

import tyro

import sim2real as s2r


def main(source: tyro.conf.Positional[Path], domain: str = "hard", budget: int = 100_000):
    moved = s2r.transfer(s2r.load_run(source), domain, method="fine_tune", budget=budget)
    rows = s2r.evaluate(moved.policy, moved.task, domain, episodes=20)
    print(f"{moved.path}: mean return {sum(row.total for row in rows) / len(rows):,.0f}")


if __name__ == "__main__":
    tyro.cli(main)
