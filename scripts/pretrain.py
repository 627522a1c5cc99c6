"""Pretrain a policy in randomized worlds: `python scripts/pretrain.py --steps 2000000`."""

import tyro

import sim2real as s2r


def main(task: str = "hopper", domain: str = "randomized", steps: int = 2_000_000, seed: int = 0):
    domain = s2r.load_domain(task, domain)
    run = s2r.pretrain(task, domain, algorithm="ppo", steps=steps, seed=seed)
    print(f"{run.path} learned for {run.step:,} control steps")


if __name__ == "__main__":
    tyro.cli(main)
