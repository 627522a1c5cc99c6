"""A training stops where its numbers are not finite or its worlds break down too often."""

import numpy as np
import pytest
import torch

from sim2real.domains import Domain
from sim2real.errors import UserError
from sim2real.learning.callbacks import Soundness
from sim2real.learning.pretrain import pretrain
from sim2real.runs.load import load_run

SMALL = {"n_steps": 16, "batch_size": 64, "n_epochs": 1, "net_arch": [8]}


def wild(share):
    """A hopper that breaks down in about this share of the episodes."""
    gains = [1.0] * round(10 * (1 - share)) + [1e12] * round(10 * share)
    gain = {"field": "actuator_gain", "scale": {"choice": gains}}
    return Domain(name="wild", dynamics=[gain])


def train(tmp_path, domain="nominal", **options):
    return pretrain(
        "hopper", domain, steps=4_096, seed=0, num_envs=16, out=tmp_path / "run",
        options=SMALL | options, progress=False,
    )  # fmt: skip


def test_too_many_unstable_episodes_stop_a_training(tmp_path):
    with pytest.raises(UserError, match=r"\d+ of the last \d+ episodes became unstable at step"):
        train(tmp_path, wild(0.5))
    train(tmp_path / "waived", wild(0.5), max_unstable=1.0)


@pytest.mark.parametrize("share", [-0.1, 1.5, "much"])
def test_the_share_is_checked(share, tmp_path):
    with pytest.raises(UserError, match="max_unstable"):
        train(tmp_path, max_unstable=share)


def test_weights_that_are_not_finite_stop_a_training(tmp_path):
    """Adam takes an infinite step where the learning rate is infinite for a float32."""
    with pytest.raises(UserError, match=r"is not finite after the update at step 256"):
        train(tmp_path, learning_rate=1e38, target_kl=None)


def test_the_episodes_that_were_counted_are_kept_with_a_checkpoint():
    first, second = Soundness(0.2), Soundness(0.2)
    first.restore({"unstable": [True, False]})
    second.restore(first.state())
    assert second.state() == {"unstable": [True, False]}


@pytest.mark.parametrize("normalize", [True, False])
def test_a_policy_refuses_an_observation_that_is_not_finite(normalize, tmp_path):
    run = pretrain(
        "hopper", steps=256, num_envs=16, out=tmp_path / "run", progress=False,
        options=SMALL | {"normalize_observations": normalize},
    )  # fmt: skip
    for policy in (run.policy, load_run(run.path).policy):
        observation = np.zeros((2, 11))
        policy.predict(observation)
        observation[1, 4] = np.nan
        with pytest.raises(UserError, match=r"observation\[1, 4\] is nan; a policy acts on"):
            policy.predict(observation)
        assert torch.isfinite(torch.cat([p.flatten() for p in policy.parameters()])).all()
