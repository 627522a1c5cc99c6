"""Kinds of a user's own: one class in one file, named by its path in a file of domains."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

from sim2real import cli
from sim2real.domains import Domain, load_domain
from sim2real.errors import UserError
from sim2real.evaluation.audit import audit
from sim2real.evaluation.provenance import content
from sim2real.evaluation.rollout import evaluate, returns
from sim2real.learning.pretrain import pretrain
from sim2real.registry import load_task
from sim2real.runs.load import load_run
from sim2real.simulation import Simulation
from sim2real.simulation.contract import world_digest
from sim2real.transfer.resume import resume

SLIDER = str(Path(__file__).parents[1] / "robots" / "slider.py")
PAGE = Path(__file__).parents[2] / "docs" / "howto" / "own_kinds.md"
KINDS = '''
"""Kinds that are not shipped."""
import numpy as np
from sim2real.domains.distributions.distribution import Normal
from sim2real.domains.entries.stage import Remembering, Stage

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


def test_the_page_runs(own: Path) -> None:
    text = PAGE.read_text()
    for language, name in (("python", "sticky.py"), ("yaml", "page.yaml")):
        (code,) = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
        (own / name).write_text(code)
    domain = load_domain("hopper", f"{own / 'page.yaml'}:stiction", trust_code=True)
    simulation = Simulation("hopper", domain)
    assert simulation.context_names == ("sensor_sticky:position",)
