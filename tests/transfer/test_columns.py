"""What becomes of a privileged critic and of a teacher in another domain."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conformance_cases import slow_unless

from sim2real.domains import Domain
from sim2real.errors import UserError
from sim2real.evaluation.rollout import evaluate
from sim2real.learning.pretrain import pretrain
from sim2real.policies.anatomy import named_tensors
from sim2real.policies.asymmetric import Asymmetric
from sim2real.policies.build import build_algorithm
from sim2real.runs.checkpoint import read_checkpoint
from sim2real.runs.load import load_run
from sim2real.runs.run import Run
from sim2real.simulation import Simulation
from sim2real.simulation.front_ends.vec_env import make_vec_env
from sim2real.transfer.api import distill, transfer
from sim2real.transfer.columns import in_columns_of, labels, take_along
from sim2real.transfer.resume import resume

Json = dict[str, Any]


def drawn(name: str, *bodies: str, **others: Any) -> Domain:
    masses = [
        {"field": "body_mass", "of": body, "scale": {"uniform": [0.5, 2.0]}} for body in bodies
    ]
    return Domain(name=name, dynamics=masses, **others)  # type: ignore[arg-type]


BOTH = drawn("both", "cart", "pole")
POLE = drawn("pole", "pole")
BENT = Domain(
    name="bent",
    dynamics=[  # type: ignore[arg-type]
        {"field": "dof_damping", "of": "hinge", "scale": {"uniform": [0.5, 2.0]}},
        {"field": "body_mass", "of": "pole", "scale": 1.5},
    ],
)
BLIND = {"privileged": False, "privileged_actor": False}
SMALL: dict[str, Json] = {
    "ppo": {"n_steps": 16, "batch_size": 32, "n_epochs": 2},
    "sac": {"learning_starts": 40, "batch_size": 16},
    "td3": {"learning_starts": 40, "batch_size": 16},
}
EACH = [slow_unless(algorithm != "td3", algorithm) for algorithm in SMALL]
"""The critics of SAC and TD3 have their tensors under the same names."""
FIRST = {
    "ppo": "mlp_extractor.value_net.0.weight",
    "sac": "critic.qf0.0.weight",
    "td3": "critic.qf0.0.weight",
}
MEAN = {
    "ppo": "vf_features_extractor.normalizer.running_mean",
    "sac": "critic.features_extractor.normalizer.running_mean",
    "td3": "critic.features_extractor.normalizer.running_mean",
}


def train(folder: Path, algorithm: str, domain: Domain = BOTH, **options: Any) -> Run:
    return pretrain(
        "cartpole",
        domain,
        algorithm=algorithm,
        steps=256,
        num_envs=4,
        out=folder,
        options={"net_arch": [6, 5], "privileged": True, **SMALL[algorithm], **options},
        progress=False,
    )


@pytest.fixture(scope="module")
def sources(short_cartpole: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    folder = tmp_path_factory.mktemp("privileged")
    runs = {algorithm: train(folder / algorithm, algorithm) for algorithm in SMALL}
    runs["teacher"] = train(folder / "teacher", "ppo", privileged_actor=True)
    runs["plain"] = train(folder / "plain", "ppo", privileged=False)
    return runs


def move(source: Run, domain: Domain, out: Path, **others: Any) -> Run:
    """Transfer into a target that shows its privileged columns to a privileged critic."""
    recipe = {k: v for k, v in SMALL[source.config.algorithm].items() if k != "learning_starts"}
    recipe |= {"privileged": source.config.recipe["privileged"]}
    options = {"recipe": recipe | others.pop("recipe", {}), **others.pop("options", {})}
    asked: Json = {"budget": 150, "num_envs": 4, "progress": False, "method": "fine_tune", **others}
    return transfer(source, domain, options=options, out=out, **asked)


def fates(run: Run) -> dict[str, str]:
    rows = json.loads((run.path / "report" / "manifest.json").read_text())["tensors"]
    return {row["tensor"]: row["action"] for row in rows}


def start(run: Run) -> dict[str, torch.Tensor]:
    return read_checkpoint(run.path, 0).policy


def terms_in(domain: Domain) -> list[str]:
    return labels(Simulation("cartpole", domain, privileged=True).observation_terms)


@pytest.mark.parametrize("algorithm", EACH)
def test_the_same_columns_are_copied(
    algorithm: str, sources: dict[str, Run], tmp_path: Path
) -> None:
    source = sources[algorithm]
    run = move(source, drawn("again", "cart", "pole"), tmp_path / "run", options={"log_std": None})
    assert set(fates(run).values()) == {"copied"}
    begun = start(run)
    assert all(torch.equal(begun[name], source.checkpoint.policy[name]) for name in begun)


@pytest.mark.parametrize("algorithm", EACH)
def test_columns_are_matched_by_name(
    algorithm: str, sources: dict[str, Run], tmp_path: Path
) -> None:
    """The context of the source is (cart, pole), that of the target (hinge, pole)."""
    source = sources[algorithm]
    run = move(source, BENT, tmp_path / "run", options={"log_std": None})
    old, new = source.checkpoint.policy, start(run)
    before, after = terms_in(BOTH), terms_in(BENT)
    assert before[-2:] == ["context[body_mass:cart]", "context[body_mass:pole]"]
    assert after[-2:] == ["context[dof_damping:hinge]", "context[body_mass:pole]"]
    told, count = fates(run), len(before)
    for name in (FIRST[algorithm], MEAN[algorithm]):
        assert told.pop(name) == "adapted"
        assert torch.equal(new[name][..., count - 1], old[name][..., count - 1])  # the pole
        assert torch.equal(new[name][..., : count - 2], old[name][..., : count - 2])
        assert torch.equal(new[name][..., count:], old[name][..., count:])  # the actions
        assert (new[name][..., count - 2] == 0).all()  # the hinge
        assert (old[name][..., count - 2] != 0).any()
    actor = [n for n in told if not n.startswith(("critic", "vf_", "mlp_extractor.value", "value"))]
    assert len(actor) > 5
    assert {told[name] for name in actor} == {"copied"}
    assert all(torch.equal(new[name], old[name]) for name in actor if name != "log_ent_coef")
    contract = json.loads((run.path / "report" / "manifest.json").read_text())["contract"]
    lines = {line["item"]: (line["source"], line["target"]) for line in contract}
    assert lines["observation context[body_mass:cart]"] == ("(1,)", "absent")
    assert lines["observation context[dof_damping:hinge]"] == ("absent", "(1,)")
    assert "observation context" not in lines


def test_the_adapted_critic_says_what_the_old_one_said_at_its_mean(
    sources: dict[str, Run],
) -> None:
    source = sources["ppo"]
    env = make_vec_env("cartpole", BENT, 4, privileged=True)
    other: Any = build_algorithm(source.config.parsed_recipe(), env, 0).policy
    take_along(source.policy, other, named_tensors(other))
    seen = torch.randn(7, len(terms_in(BOTH)))
    mean = source.checkpoint.policy[MEAN["ppo"]]
    seen[:, -2] = mean[-2]  # the cart's mass
    changed = seen.clone()
    changed[:, -2] = torch.randn(7)  # the hinge's damping, of which nothing is known
    policy: Any = source.policy
    torch.testing.assert_close(policy.predict_values(seen), other.predict_values(changed))


def test_a_column_that_never_varied_is_no_knowledge(tmp_path: Path) -> None:
    source = train(tmp_path / "source", "ppo", BENT)
    heavy = BENT.model_copy(update={"name": "heavy"})
    run = move(source, heavy, tmp_path / "run")
    first, told = start(run)[FIRST["ppo"]], fates(run)
    assert told[FIRST["ppo"]] == "adapted"
    assert (first[:, -1] == 0).all()  # the pole's mass was 1.5 times the nominal one, always
    assert torch.equal(first[:, :-1], source.checkpoint.policy[FIRST["ppo"]][:, :-1])


@pytest.mark.parametrize("algorithm", EACH)
def test_freezing_leaves_what_was_adapted_free(
    algorithm: str, sources: dict[str, Run], tmp_path: Path
) -> None:
    run = move(sources[algorithm], POLE, tmp_path / "run", method="freeze")
    told = fates(run)
    assert told[FIRST[algorithm]] == "adapted"
    assert {fate for name, fate in told.items() if "policy_net.0" in name} <= {"frozen"}
    assert "frozen" in told.values()
    options = {"frozen": [FIRST[algorithm]]}
    with pytest.raises(UserError, match="cannot be frozen: it is adapted"):
        move(sources[algorithm], POLE, tmp_path / "no", method="freeze", options=options)


def test_to_and_from_policies_without_privilege(sources: dict[str, Run], tmp_path: Path) -> None:
    gained = move(sources["plain"], BENT, tmp_path / "gained", recipe={"privileged": True})
    assert isinstance(gained.policy, Asymmetric)
    assert start(gained)[FIRST["ppo"]].shape[1] == len(terms_in(BENT))
    lost = move(sources["ppo"], BENT, tmp_path / "lost", recipe={"privileged": False})
    assert not isinstance(lost.policy, Asymmetric)
    columns = start(lost)[FIRST["ppo"]].shape[1]
    old = sources["ppo"].checkpoint.policy[FIRST["ppo"]]
    assert torch.equal(start(lost)[FIRST["ppo"]], old[:, :columns])


def test_transfers_are_resumed(sources: dict[str, Run], tmp_path: Path) -> None:
    import shutil

    for source, method in (("sac", "fine_tune"), ("teacher", "distill")):
        domain = POLE if source == "sac" else BOTH
        whole = move(sources[source], domain, tmp_path / method, method=method)
        shutil.copytree(whole.path, tmp_path / f"{method}-parts")
        for step in whole.steps[2:]:
            shutil.rmtree(tmp_path / f"{method}-parts" / "checkpoints" / f"{step:09d}")
        again = resume(tmp_path / f"{method}-parts", progress=False)
        assert again.step == whole.step
        one, other = whole.checkpoint.policy, again.checkpoint.policy
        assert [name for name in one if not torch.equal(one[name], other[name])] == []


@pytest.mark.parametrize("algorithm", EACH)
def test_a_privileged_teacher_is_distilled_into_a_student_that_is_not(
    algorithm: str, sources: dict[str, Run], tmp_path: Path
) -> None:
    teacher = train(tmp_path / "teacher", algorithm, privileged_actor=True)
    student = distill(
        teacher,
        BOTH,
        student=[7],
        budget=256,
        num_envs=4,
        out=tmp_path / "student",
        options={"rollout": 16, "updates": 5},
        progress=False,
    )
    policy: Any = load_run(student.path).policy
    assert {term.group for term in policy.acting_terms} == {"policy"}
    assert len(evaluate(policy, "cartpole", "nominal", episodes=2)) == 2
    told = fates(student)
    columns = sum(term.size for term in policy.acting_terms)
    name = next(n for n in told if n.endswith("normalizer.running_mean"))
    old = teacher.checkpoint.policy[name]
    assert torch.equal(student.checkpoint.policy[name], old[:columns])
    assert told[name] == "adapted"


@pytest.mark.parametrize("algorithm", EACH)
def test_a_plain_teacher_teaches_a_student_with_a_privileged_critic(
    algorithm: str, tmp_path: Path
) -> None:
    source = train(tmp_path / "source", algorithm, privileged=False)
    env = make_vec_env("cartpole", BENT, 4, privileged=True)
    teacher = in_columns_of(source, env)
    seen = np.random.default_rng(0).normal(size=(7, len(terms_in(BENT)))).astype(np.float32)
    own = source.policy.observation_space.shape[0]  # type: ignore[index]
    told, _ = teacher.predict(seen, deterministic=True)
    expected, _ = source.policy.predict(seen[:, :own], deterministic=True)
    np.testing.assert_array_equal(told, expected)
    student = distill(
        source,
        BENT,
        student=[7],
        budget=256,
        num_envs=4,
        out=tmp_path / "student",
        options={"rollout": 16, "updates": 5, "recipe": {"privileged": True}},
        progress=False,
    )
    assert student.config.recipe["privileged"]


def test_a_student_learns_what_its_teacher_does(tmp_path: Path) -> None:
    """The distillation's loss falls though the student sees less."""
    # large steps, so that the teacher asks for something; its first actions are near 0
    teacher = train(tmp_path / "teacher", "ppo", privileged_actor=True, learning_rate=0.03)
    student = distill(
        teacher,
        BOTH,
        student="same",
        budget=1024,
        num_envs=8,
        out=tmp_path / "student",
        options={"rollout": 32, "updates": 100, "learning_rate": 1e-2},
        progress=False,
    )
    env = make_vec_env("cartpole", BOTH, 16, privileged=True, seed=5)
    seen: Any = env.reset()
    for _ in range(30):  # at the start the worlds differ only in what the student cannot see
        seen, *_ = env.step(teacher.policy.predict(seen)[0])
    given, _ = teacher.policy.predict(seen, deterministic=True)
    first = build_algorithm(student.config.parsed_recipe(), env, 0).policy
    before = np.abs(first.predict(seen, deterministic=True)[0] - given).mean()
    after = np.abs(student.policy.predict(seen, deterministic=True)[0] - given).mean()
    assert after < 0.5 * before


def test_an_asymmetric_policy_is_distilled_anywhere(
    sources: dict[str, Run], tmp_path: Path
) -> None:
    for out, recipe in (("student", {}), ("plain", {"privileged": False})):
        run = move(
            sources["ppo"],
            POLE,
            tmp_path / out,
            method="distill",
            options={"student": [7], "rollout": 16, "updates": 5},
            recipe=recipe,
        )
        assert isinstance(run.policy, Asymmetric) == (not recipe)


@pytest.mark.parametrize("method", ["fine_tune", "freeze", "distill", "scratch"])
def test_a_target_shows_no_privileged_columns(
    method: str, sources: dict[str, Run], tmp_path: Path
) -> None:
    small = {"student": [7], "rollout": 16, "updates": 5} if method == "distill" else {}
    for recipe in ({}, {"privileged": True}):
        out = tmp_path / str(len(recipe))
        options = {"recipe": {"n_steps": 16, "batch_size": 32, **recipe}, **small}
        given: Json = {"budget": 150, "num_envs": 4, "progress": False, "options": options}
        run = transfer(sources["ppo"], BENT, method=method, out=out, **given)
        assert isinstance(run.policy, Asymmetric) == bool(recipe)
        groups = {term["group"] for term in run.task_info["observation_terms"]}
        assert groups == ({"policy", "privileged"} if recipe else {"policy"})
        budget = json.loads((run.path / "report" / "budget.json").read_text())
        assert budget["privileged"] == bool(recipe)


@pytest.mark.parametrize("algorithm", ["ppo", slow_unless(False, "sac")])
def test_an_encoded_memory_is_copied_and_the_critic_forgets_what_is_hidden(
    algorithm: str, tmp_path: Path
) -> None:
    """The actor acts as before; the critic's value is that at the mean of what it does not see."""
    source = train(tmp_path / "source", algorithm, history=3, encoder="conv", encoding=4)
    run = move(
        source, BENT, tmp_path / "run", recipe={"privileged": False}, options={"log_std": None}
    )
    assert not isinstance(run.policy, Asymmetric)
    run.policy.load_state_dict(start(run))
    rng = np.random.default_rng(0)
    shown = rng.normal(size=(6, run.policy.observation_space.shape[0]))  # type: ignore[index]
    hidden = source.policy.observation_space.shape[0] - shown.shape[1]  # type: ignore[index]
    mean = source.checkpoint.policy[MEAN[algorithm]][-hidden:].numpy()
    known = np.concatenate([shown, np.tile(mean, (6, 1))], axis=1)
    for one, other in zip(answer(run.policy, shown), answer(source.policy, known), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def answer(policy: Any, observations: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Its actions and its values."""
    seen = torch.tensor(observations, dtype=torch.float32)
    with torch.no_grad():
        actions = policy._predict(seen, deterministic=True)
        if hasattr(policy, "predict_values"):
            return actions, policy.predict_values(seen)
        return actions, torch.cat(policy.critic(seen, torch.zeros(len(seen), 1)), dim=1)


@pytest.mark.parametrize("method", ["fine_tune", "distill"])
def test_a_teacher_stays_where_it_knows_everything(
    method: str, sources: dict[str, Run], tmp_path: Path
) -> None:
    teacher, known = sources["teacher"], {"privileged_actor": method == "fine_tune"}
    with pytest.raises(UserError, match=r"context\[body_mass:cart\] is \(1,\) in the source, abse"):
        move(teacher, POLE, tmp_path / "run", method=method, recipe=known)
    with pytest.raises(UserError, match="reads privileged columns, which the target does not show"):
        move(teacher, BOTH, tmp_path / "run", method=method, recipe=BLIND)
    assert not list(tmp_path.iterdir())
