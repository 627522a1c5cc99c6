"""Make a smaller student: `python scripts/distill.py runs/teacher --student small`."""

from pathlib import Path

import tyro

import sim2real as s2r


def main(teacher: tyro.conf.Positional[Path], student: str = "small", budget: int = 500_000):
    run = s2r.load_run(teacher)
    moved = s2r.distill(run, run.domain, student=student, budget=budget)
    print(f"{moved.path} learned from {teacher} in {moved.step:,} control steps")


if __name__ == "__main__":
    tyro.cli(main)
