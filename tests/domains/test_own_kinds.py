"""Kinds of a user's own: one class in one file, named by its path in a file of domains."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np
import pytest

from sim2real import cli
from sim2real.domains import Domain, load_domain
from sim2real.domains.distributions.draw_keys import key_of
from sim2real.errors import UserError
from sim2real.evaluation.audit import audit
from sim2real.evaluation.provenance import content
from sim2real.evaluation.rollout import evaluate, returns
from sim2real.learning.pretrain import pretrain
from sim2real.plain import dump_yaml
from sim2real.registry import load_task
from sim2real.runs.load import load_run
from sim2real.simulation import Simulation
from sim2real.simulation.contract import world_digest
from sim2real.simulation.front_ends.domain_wrapper import DomainWrapper
from sim2real.simulation.randomness import DISTURBANCE, EpisodeGenerators
from sim2real.studies.config import load_study
from sim2real.transfer.resume import resume

SLIDER = str(Path(__file__).parents[1] / "robots" / "slider.py")
PAGE = Path(__file__).parents[2] / "docs" / "howto" / "own_kinds.md"
KINDS = '''
"""Kinds that are not shipped."""
import numpy as np
from sim2real.domains.distributions.distribution import Normal
from sim2real.domains.entries.stage import Load, Remembering, Stage

class Sticky(Remembering):
    """A value stays until the true one is farther from it than the magnitude."""
    name, unit, low = "sticky", "of its unit", 0.0
    def follow(self, last, values, moment):
        return np.where(np.abs(values - last) > self.magnitude[moment.rows], values, last)

class Walk(Stage):
    """A random walk that forgets."""
    name, low, random, after = "walk", 0.0, Normal(0.0, 1.0), "bias"
    options = {"keep": 0.9}
    def prepare(self, effects):
        self.walk = self.memory["walk"] = np.zeros(self.shape)
        self.keep = np.concatenate([np.full(len(e.columns), e.options["keep"]) for e in effects])
    def start(self, rows, values):
        self.walk[rows] = 0.0
    def change(self, values, moment):
        step = self.magnitude[moment.rows] * moment.numbers[:, self.lanes]
        self.walk[moment.rows] = self.keep * self.walk[moment.rows] + step
        return values + self.walk[moment.rows]

class Drag(Load):
    """Friction that grows with the speed."""
    name, unit, low, acts_on = "drag", "N s/m", 0.0, "joint"
    def change(self, values, moment):
        return values - self.magnitude[moment.rows] * self.world.qvel[moment.rows, self.columns]

class Gust(Load):
    """A wind that wanders."""
    name, unit, random = "gust", "N", Normal(0.0, 1.0)
    def prepare(self, effects):
        self.wind = self.memory["wind"] = np.zeros(self.shape)
    def start(self, rows, values):
        self.wind[rows] = 0.0
    def change(self, values, moment):
        step = self.magnitude[moment.rows] * moment.numbers[:, self.lanes]
        self.wind[moment.rows] = 0.8 * self.wind[moment.rows] + step
        return values + self.wind[moment.rows]

class Taken(Stage):
    name = "bias"
'''
DOMAINS = """
sticky:
  about: Values that stick.
  actuation:
    - {"kinds.py:Sticky": {uniform: [0.3, 0.6]}}
  sensing:
    - {"kinds.py:Sticky": {uniform: [0.01, 0.02]}, of: place, name: encoder}
    - {"kinds.py:Walk": 0.01, options: {keep: 0.5}}
  disturbances:
    - {"kinds.py:Drag": {uniform: [0.1, 0.5]}, of: rail}
    - {"kinds.py:Gust": {uniform: [0.1, 0.2]}, of: mass, direction: x}
    - {force: 0.1, of: mass, direction: x}
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of domains with a file of kinds beside it, neither of them trusted."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "kinds.py").write_text(KINDS)
    (tmp_path / "own" / "mine.yaml").write_text(DOMAINS)
    return tmp_path / "own"


def load(own: Path) -> Domain:
    return load_domain(SLIDER, f"{own / 'mine.yaml'}:sticky", trust_code=True)


def actions(steps: int, worlds: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (steps, worlds, 1))


def test_a_kind_of_a_yaml_file_equals_a_plain_loop(own: Path) -> None:
    text = "plain:\n  actuation: [{'kinds.py:Sticky': 0.5}]\n"
    (own / "mine.yaml").write_text(f"{text}  sensing: [{{'kinds.py:Sticky': 0.01, of: place}}]\n")
    domain = load_domain(SLIDER, f"{own / 'mine.yaml'}:plain", trust_code=True)
    simulation = Simulation(SLIDER, domain)
    assert simulation.context_names == ("sticky:push", "sensor_sticky:place")
    model, seen, command = simulation.world_model(0), simulation.observation[0, 0], 0.0
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:] = simulation.qpos[0], simulation.qvel[0]
    for action in actions(40, 1):
        command = action.item() if abs(action.item() - command) > 0.5 else command
        data.ctrl[:] = command
        mujoco.mj_step(model, data, simulation.substeps)
        seen = data.qpos[0] if abs(data.qpos[0] - seen) > 0.01 else seen
        observation = simulation.advance(action).observation[0]
        np.testing.assert_array_equal(observation, [seen, data.qvel[0]])


def test_a_load_equals_a_plain_loop(own: Path) -> None:
    drag, force = {f"{own / 'kinds.py'}:Drag": 0.4, "of": "rail"}, {"force": 0.3, "of": "mass"}
    domain = Domain(disturbances=[drag, {**force, "direction": "x"}])  # type: ignore[arg-type]
    simulation = Simulation(SLIDER, domain)
    assert simulation.context_names == ("force.x:mass", "drag:rail")
    model = simulation.world_model(0)
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:] = simulation.qpos[0], simulation.qvel[0]
    for action in actions(40, 1):
        data.ctrl[:], data.xfrc_applied[1, 0] = action.item(), 0.3
        data.qfrc_applied[:] = -0.4 * data.qvel
        mujoco.mj_step(model, data, simulation.substeps)
        observation = simulation.advance(action).observation[0]
        np.testing.assert_array_equal(observation, [data.qpos[0], data.qvel[0]])


def test_a_load_with_a_memory_has_its_numbers_under_its_own_name(own: Path) -> None:
    gust = {f"{own / 'kinds.py'}:Gust": 0.2, "of": "mass", "direction": "x"}
    push = {"push": 1.0, "every": 0.1, "of": "mass", "direction": "x"}
    alone, both = (
        Simulation(SLIDER, Domain(disturbances=entries), num_envs=2, seed=4)  # type: ignore[arg-type]
        for entries in ([gust], [push, gust])
    )
    wind = np.zeros(2)
    numbers = [
        EpisodeGenerators(4).at(world, DISTURBANCE, 0, key_of("gust.x:mass")).standard_normal(32)
        for world in range(2)
    ]
    for step in range(20):
        for simulation in (alone, both):
            simulation.advance(np.zeros((2, 1)))
        wind = 0.8 * wind + 0.2 * np.array([row[step] for row in numbers])
        np.testing.assert_array_equal(alone.xfrc_applied[:, 1, 0], wind)
    np.testing.assert_allclose((both.xfrc_applied[:, 1, 0] - wind) % 50, 0, atol=1e-9)


def test_a_load_in_a_foreign_environment(own: Path) -> None:
    drag = {f"{own / 'kinds.py'}:Drag": 3.0, "of": "slider"}
    env = DomainWrapper(
        gymnasium.make("InvertedPendulum-v5"),
        Domain(disturbances=[drag]),  # type: ignore[list-item]
    )
    env.reset(seed=0)
    for _ in range(3):
        before = env.unwrapped.data.qvel.copy()  # type: ignore[attr-defined]
        env.step(np.array([1.0]))
        applied = env.unwrapped.data.qfrc_applied  # type: ignore[attr-defined]
        np.testing.assert_array_equal(applied, [-3.0 * before[0], 0.0])


def test_an_option_and_the_random_numbers_of_a_step(own: Path) -> None:
    given = [{f"{own / 'kinds.py'}:Walk": 0.1, "options": {"keep": 0.0}, "of": "place"}]
    white = Simulation(SLIDER, Domain(sensing=given), num_envs=200)  # type: ignore[arg-type]
    noise = white.observation[:, 0] - white.qpos[:, 0]
    assert 0.08 < noise.std() < 0.12
    for worlds in (1, 3):
        some = Simulation(SLIDER, Domain(sensing=given), num_envs=worlds)  # type: ignore[arg-type]
        np.testing.assert_array_equal(some.observation, white.observation[:worlds])


def test_the_same_bits_at_any_number_of_threads_and_from_a_snapshot(own: Path) -> None:
    one, two = (Simulation(SLIDER, load(own), num_envs=4, seed=2, threads=t) for t in (1, 2))
    given = actions(90, 4)
    snapshot = None
    for step, action in enumerate(given):
        if step == 33:
            snapshot = one.snapshot()
        np.testing.assert_array_equal(one.step(action).observation, two.step(action).observation)
    assert snapshot is not None
    fresh = Simulation(SLIDER, load(own), num_envs=4)
    fresh.restore(snapshot)
    for action in given[33:]:
        last = fresh.step(action).observation
    np.testing.assert_array_equal(last, one.observation)


def test_it_is_described_audited_and_written_again(own: Path) -> None:
    domain = load(own)
    assert domain.describe()[0] == "actuator sticky 0.3 to 0.6 of its unit"
    assert Domain(name="sticky", **domain.plain()) == domain
    report = audit(SLIDER, domain)
    assert report.passed, report.errors
    assert {"sticky:push", "encoder:place"} <= {finding.parameter for finding in report.findings}


def test_nothing_is_imported_without_trust(own: Path) -> None:
    (own / "kinds.py").write_text("import sys\nsys.sim2real_own_evil = True\n" + KINDS)
    with pytest.raises(UserError, match=r"kinds.py \(SHA-256 \w+\); nothing of it was imported"):
        load_domain(SLIDER, f"{own / 'mine.yaml'}:sticky")
    assert not hasattr(sys, "sim2real_own_evil")
    load(own)
    assert hasattr(sys, "sim2real_own_evil")
    assert load_domain(SLIDER, f"{own / 'mine.yaml'}:sticky") == load(own)
    (own / "kinds.py").write_text(KINDS + "# another content\n")
    with pytest.raises(UserError, match="--trust-code"):
        load_domain(SLIDER, f"{own / 'mine.yaml'}:sticky")


def test_code_of_another_domain_of_the_file_is_not_asked_for(own: Path) -> None:
    (own / "mine.yaml").write_text(f"{DOMAINS}\nplain:\n  sensing: [{{bias: 0.1}}]\n")
    assert load_domain(SLIDER, f"{own / 'mine.yaml'}:plain").describe() == ["sensor bias + 0.1"]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ('"kinds.py:Taken": 1', "has the name 'bias'; allowed: letters, digits and _, and none of"),
        ('"kinds.py:Nobody": 1', "unknown stage class"),
        ('"kinds.py": 1', "must define one Stage"),
        ('"nothing.py": 1', "nothing.py does not exist"),
        ('"kinds.py:Sticky": -1', "sticky must be at least 0, got -1"),
        ('"kinds.py:Sticky": [1]', "sticky: expected a number"),
        ('"kinds.py:Sticky": 1, bias: 1', "needs exactly one of .*; got bias, sticky"),
        ('"kinds.py:Sticky": 1, steps: 2', "sticky takes no steps; dropped and held do"),
        ('"kinds.py:Walk": 1, options: {kepp: 1}', "unknown option of walk 'kepp'; did you mean"),
    ],
)
def test_faults_are_named(entry: str, message: str, own: Path) -> None:
    (own / "mine.yaml").write_text(f"odd:\n  sensing:\n    - {{{entry}}}\n")
    with pytest.raises(UserError, match=message) as caught:
        load_domain(SLIDER, f"{own / 'mine.yaml'}:odd", trust_code=True)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("section", "entry", "message"),
    [
        ("sensing", '"kinds.py:Drag": 1', "Drag is of another section; allowed here: a stage"),
        ("disturbances", '"kinds.py:Walk": 1', "allowed here: a subclass of Load"),
        ("disturbances", '"kinds.py:Drag": 1', "a drag needs the joints"),
        ("disturbances", '"kinds.py:Drag": -1, of: rail', "drag must be at least 0"),
        ("disturbances", '"kinds.py:Drag": 1, of: rial', "unknown joint 'rial'; did you mean"),
        ("disturbances", '"kinds.py:Drag": 1, of: rail, direction: x', "takes no 'direction'"),
        ("disturbances", '"kinds.py:Gust": 1, of: mass', "a gust needs a direction: x or y or z"),
    ],
)
def test_faults_of_loads_are_named(section: str, entry: str, message: str, own: Path) -> None:
    (own / "mine.yaml").write_text(f"odd:\n  {section}:\n    - {{{entry}}}\n")
    with pytest.raises(UserError, match=message):
        Simulation(SLIDER, load_domain(SLIDER, f"{own / 'mine.yaml'}:odd", trust_code=True))


def test_two_kinds_of_one_name_are_refused(own: Path) -> None:
    (own / "other.py").write_text(KINDS + "# another file\n")
    entries = [{f"{own / name}.py:Sticky": 0.1} for name in ("kinds", "other")]
    with pytest.raises(UserError, match="two kinds of one name, 'sticky'"):
        Domain(sensing=entries[:1], actuation=entries[1:])  # type: ignore[arg-type]


def test_the_digest_is_that_of_the_code_and_not_of_its_place(own: Path) -> None:
    def digests() -> list[Any]:
        domain, task = load(own), load_task(SLIDER)
        return [world_digest(domain, task.compile()).tolist(), content(task, domain)["domain"]]

    before = digests()
    moved = own.rename(own.parent / "elsewhere")
    own = moved
    assert digests() == before
    (own / "kinds.py").write_text(KINDS.replace('"keep": 0.9', '"keep": 0.8'))
    assert all(now != then for now, then in zip(digests(), before, strict=True))


def test_a_run_with_it_is_resumed_moved_and_evaluated(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"n_steps": 16, "batch_size": 32, "n_epochs": 1, "net_arch": [4]}
    asked: dict[str, Any] = {"options": options, "num_envs": 2, "progress": False}
    whole = pretrain(SLIDER, load(own), steps=128, out=tmp_path / "whole", **asked)
    half = pretrain(SLIDER, load(own), steps=64, out=tmp_path / "half", **asked)
    expected = returns(evaluate(whole.policy, whole.task, whole.domain, episodes=4))
    shutil.rmtree(own)
    elsewhere = tmp_path / "elsewhere"
    shutil.move(half.path, elsewhere)
    monkeypatch.chdir(tmp_path)
    assert '"files' not in (elsewhere / "domains.yaml").read_text().replace('"files/', "")
    moved = resume(elsewhere, progress=False, steps=128)
    rows = evaluate(moved.policy, moved.task, moved.domain, episodes=4)
    np.testing.assert_array_equal(returns(rows), expected)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "another"))
    with pytest.raises(UserError, match=r"domains.yaml: sticky asks for code"):
        load_run(elsewhere)
    assert load_run(elsewhere, trust_code=True).domain.own_kinds


def test_check_and_audit_take_the_file(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(own / "mine.yaml")
    assert cli.main(["check", file, "--task", SLIDER]) == 1
    assert "nothing of it was imported" in " ".join(capsys.readouterr().out.split())
    assert cli.main(["check", file, "--task", SLIDER, "--trust-code"]) == 0
    assert "sticky: fits the model" in capsys.readouterr().out
    assert cli.main(["audit", SLIDER, "--domain", f"{file}:sticky", "--json"]) == 0
    assert "actuator sticky 0.3 to 0.6 of its unit" in capsys.readouterr().out


def test_a_study_accepts_the_code_of_its_domains(own: Path) -> None:
    target = f"{own / 'mine.yaml'}:sticky"
    asked = {
        "task": SLIDER,
        "source": {"domain": "nominal", "steps": 64},
        "budget": 64,
        "oracle": {"steps": 64},
    }
    text = dump_yaml({**asked, "targets": [target], "methods": ["fine_tune"]})
    (own / "study.yaml").write_text(text)
    load_study(own / "study.yaml", trust_code=True)
    assert load_domain(SLIDER, target).own_kinds


def test_the_page_runs(own: Path) -> None:
    text = PAGE.read_text()
    sticky, drag, wind = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    entries = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    for name, code in (
        ("sticky.py", sticky),
        ("drag.py", drag),
        ("wind.py", wind),
        ("page.yaml", "".join(entries)),
    ):
        (own / name).write_text(code)
    domain = load_domain("hopper", f"{own / 'page.yaml'}:stiction", trust_code=True)
    simulation = Simulation("hopper", domain)
    assert simulation.context_names == ("sensor_sticky:position", "drag:leg_joint")
    blown = Domain(disturbances=[{f"{own / 'wind.py'}": 2.0}])  # type: ignore[arg-type]
    simulation = Simulation("hopper", blown, num_envs=2)
    assert simulation.context_names == ("wind.x",)
    np.testing.assert_array_equal(simulation.world_model(1).opt.wind, [2.0, 0.0, 0.0])
