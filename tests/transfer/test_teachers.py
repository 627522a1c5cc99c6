"""Several teachers, of any algorithm or file, of one student; and teachers inside PPO and SAC."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from sim2real.deployment.export import export
from sim2real.errors import UserError
from sim2real.files import read_json
from sim2real.policies import ALGORITHMS
from sim2real.policies.build import build_algorithm
from sim2real.policies.recipe import load_recipe
from sim2real.runs.load import load_run
from sim2real.runs.onnx_file import OnnxPolicy, onnx_in
from sim2real.transfer.anchor import Anchor
from sim2real.transfer.api import distill, transfer
from sim2real.transfer.budget import Budget
from sim2real.transfer.conformance import check_method
from sim2real.transfer.distillation import Distillation
from sim2real.transfer.find import load_method
from sim2real.transfer.gaussians import actor_gaussian
from sim2real.transfer.method import LearnerMethod
from sim2real.transfer.methods import scratch
from sim2real.transfer.methods.distill import Distill
from sim2real.transfer.teachers import label
from tests.transfer.methods.test_learning import LEARNING, RECIPES, SEEN, X, return_of, taught

STEPS = 2_000


class Plays:
    """A teacher of which nothing is known but what it does: `sign` times the number x it sees."""

    def __init__(self, sign: float) -> None:
        self.sign = sign

    def predict(self, observation: Any, *_: Any, **__: Any) -> tuple[Any, None]:
        return self.sign * np.asarray(observation)[:, :1].astype(np.float32), None


def recipe_of(algorithm: str, **options: Any) -> Any:
    return load_recipe(algorithm, None, {**RECIPES[algorithm], **LEARNING, **options})


def loop(algorithm: str, toy: Any, teachers: list[Any], **options: Any) -> Distillation:
    student = build_algorithm(recipe_of(algorithm, net_arch=(8,)), toy.ToyVecEnv(8), 0)
    given: dict[str, Any] = {"updates": 100, "batch_size": 128, "learning_rate": 5e-3, **options}
    return Distillation(student, teachers, Distill(**given), 0)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_any_predict_teaches_any_algorithm(algorithm: str, toy: Any) -> None:
    student = loop(algorithm, toy, [Plays(-1.0)]).learn(STEPS).policy
    assert return_of(student, -1.0) > 9.7


def test_each_teacher_labels_its_own_worlds(toy: Any) -> None:
    """Of equal shares of labels x and -x / 2 the best action by squared error is x / 4."""
    learner = loop("ppo", toy, [Plays(1.0), Plays(-0.5)], teacher_rounds=0)
    actions = learner.learn(STEPS).policy.predict(SEEN, deterministic=True)[0][:, 0]
    np.testing.assert_allclose(actions, X / 4, atol=0.15)  # x and -x / 2 are 0.67 off at the ends


def test_teachers_of_one_family_teach_their_mixture(toy: Any) -> None:
    """The Gaussian nearest to equal shares of N(x, s) and N(-x, s) has mean 0 (moments match)."""
    one, other = (taught(recipe_of("ppo"), toy.ToyVecEnv(8)) for _ in range(2))
    with torch.no_grad():
        other.action_net.weight *= -1
        other.action_net.bias *= -1
    student = loop("ppo", toy, [one, other]).learn(STEPS).policy
    assert np.abs(student.predict(SEEN, deterministic=True)[0]).mean() < 0.1


def test_the_teachers_share_falls_by_powers_of_beta(toy: Any) -> None:
    learner = loop("ppo", toy, [Plays(1.0)], beta=0.5, rollout=4, teacher_rounds=2)
    shares = []
    for learner.num_timesteps in range(0, 5 * 32, 32):
        shares.append(learner._teachers_share())
    assert shares == [1.0, 1.0, 0.5, 0.25, 0.125]


def test_the_teacher_acts_with_that_probability(toy: Any) -> None:
    learner = loop("ppo", toy, [Plays(1.0)], beta=0.25, teacher_rounds=0)
    torch.manual_seed(0)
    learner._last_obs = np.full((8, 2), 0.7)
    drawn = [learner._sample_action(0, n_envs=8)[0] for _ in range(500)]
    led = np.isclose(np.concatenate(drawn)[:, 0], 0.7, atol=1e-6).mean()
    assert led == pytest.approx(0.25, abs=0.03)  # standard error 0.007


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnxruntime")
    folder = tmp_path_factory.mktemp("export") / "cartpole"
    export("pretrained:cartpole", folder)
    return folder


def small(**options: Any) -> dict[str, Any]:
    return {"student": [4], "rollout": 8, "updates": 3, **options}


def moved(source: Any, out: Path, **options: Any) -> Any:
    asked: dict[str, Any] = {"budget": 96, "num_envs": 4, "out": out, "progress": False}
    return distill(source, "hard", options=options, student=[4], **asked)


def test_several_teachers_pass_the_checks_of_a_method(exported: Path) -> None:
    teachers = {"hard": str(exported), "medium": "pretrained:cartpole"}
    found = list(itertools.islice(check_method("distill", 150, small(teachers=teachers)), 5))
    assert len(found) == 5
    assert all(one.passed for one in found), [one for one in found if not one.passed]


def test_only_steps_of_the_target_are_charged(tmp_path: Path) -> None:
    teachers = {"medium": "pretrained:cartpole"}
    run = moved("pretrained:cartpole", tmp_path / "student", teachers=teachers)
    ledger = read_json(run.path / "report/budget.json")
    assert (ledger["used"]["steps"], ledger["source_steps"]) == (96, 96)


def test_a_file_gives_the_actions_of_its_run(exported: Path, tmp_path: Path) -> None:
    place = onnx_in(exported)
    assert place is not None
    policy = load_run("pretrained:cartpole").policy
    seen = np.random.default_rng(0).normal(size=(16, *(policy.observation_space.shape or ())))
    expected = policy.predict(seen, deterministic=True)[0]
    given = label(OnnxPolicy(place), torch.as_tensor(seen), policy)
    assert given.log_std is None
    np.testing.assert_allclose(given.mean.numpy(), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"teachers": {"medium": "pretrained:hopper"}}, "pretrained:hopper does not fit: obs"),
        ({"teachers": {"medium": "ONNX"}, "loss": "kl"}, "'kl': a teacher of another algorithm"),
        ({"teachers": {"medium": "broken.onnx"}}, "broken.onnx is no policy that"),
        ({"teachers": {"medium": "absent.onnx"}}, "absent.onnx does not exist"),
        ({"teachers": {"nowhere": "pretrained:cartpole"}}, "nowhere"),
        ({"teachers": {"hard": "pretrained:cartpole"}, "teacher_sees": "truth"}, "privileged"),
        ({"teachers": {"medium": "runs/absent"}}, "runs/absent"),
    ],
)
def test_bad_teachers_are_refused_before_a_step(
    options: dict[str, Any],
    message: str,
    exported: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"no network")
    monkeypatch.chdir(tmp_path)
    given = {
        name: str(exported) if path == "ONNX" else path
        for name, path in options["teachers"].items()
    }
    with pytest.raises(UserError, match=message):
        moved("pretrained:cartpole", tmp_path / "out", **{**options, "teachers": given})
    assert not (tmp_path / "out").exists()


def test_an_anchor_to_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="whose weight is 0; set anchor"):
        load_method("scratch", {"anchor_to": "pretrained:cartpole"})
    with pytest.raises(UserError, match="a teacher gives actions"):
        load_method("fine_tune", {"anchor_to": "x", "anchor": 1.0, "anchor_of": "weights"})


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_loss_of_another_algorithms_teacher_is_the_squared_distance(
    algorithm: str, toy: Any
) -> None:
    policy = build_algorithm(recipe_of(algorithm), toy.ToyVecEnv(8), 0).policy
    anchor = Anchor(policy, 1.0, "actions", 100, Plays(-1.0))
    seen = torch.as_tensor(SEEN)
    own = actor_gaussian(policy, seen).action.detach().numpy()[:, 0]
    expected = np.mean((own + X) ** 2)
    assert anchor.loss(policy, seen).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("algorithm", ["ppo", "sac"])
def test_kickstarting_from_scratch_takes_over_what_the_teacher_does(
    algorithm: str, toy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reward that says nothing, so that all that is learned comes from the teacher."""

    class Silent(toy.ToyVecEnv):  # type: ignore[misc, name-defined]
        def step_wait(self) -> Any:
            observations, rewards, dones, infos = super().step_wait()
            return observations, 0.0 * rewards, dones, infos

    recipe = recipe_of(algorithm)
    teacher = taught(recipe, toy.ToyVecEnv(8))
    monkeypatch.setattr(scratch, "in_columns_of", lambda source, env: source.policy)
    source: Any = SimpleNamespace(policy=teacher)
    method = load_method("scratch", {"anchor": 10.0, "recipe": RECIPES[algorithm]})
    assert isinstance(method, LearnerMethod)
    budget = Budget(STEPS)
    target_recipe = method.target_recipe(recipe, budget)
    prepared = method.prepare(source, target_recipe, Silent(8), budget, 0)
    prepared.algorithm.learn(STEPS, callback=list(prepared.callbacks))
    assert return_of(prepared.algorithm.policy, 1.0) > 9.0


def test_a_file_kickstarts_a_transfer(exported: Path, tmp_path: Path) -> None:
    run = transfer(
        "pretrained:cartpole",
        "hard",
        method="scratch",
        budget=128,
        num_envs=4,
        out=tmp_path / "run",
        options={"anchor": 1.0, "anchor_to": str(exported), "recipe": {"n_steps": 16}},
        progress=False,
    )
    assert run.step == 128
