"""Attributions of gaps whose parts are known, and of those of shipped tasks."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

import sim2real.envs.cartpole
from sim2real.cli import main
from sim2real.domains import Domain, load_domain
from sim2real.envs.cartpole import Cartpole
from sim2real.errors import UserError
from sim2real.evaluation.attribution import Attribution, attribute, without_each
from sim2real.evaluation.attribution.waterfall import waterfall, waterfall_svg
from sim2real.evaluation.rollout import evaluate, returns
from sim2real.task import Array, World

STEPS = 5


class Meter(Cartpole):
    """The return is the mean of the actions; what is observed is 0 but for the bias of sensors."""

    control_dt, episode_s = 0.02, 0.1
    model = str(Path(sim2real.envs.cartpole.__file__).with_suffix(".xml"))
    units: ClassVar = {}
    mirror = None

    def observe(self, world: World) -> dict[str, Array]:
        return dict.fromkeys("abcdefg", 0.0 * world.qpos[:, :1])

    def reward(self, world: World, action: NDArray[Any]) -> dict[str, Array]:
        return {"reading": np.asarray(action[:, 0], dtype=np.float64) / STEPS}

    def failed(self, world: World) -> Any:
        return np.zeros(len(world.qpos), dtype=bool)


class Sum:
    """The action is a fixed function of the seven readings."""

    def __init__(self, interaction: float = 0.0) -> None:
        self.interaction = interaction

    def predict(self, observation: Any, state: Any = None, **_: Any) -> Any:
        a, b = observation[:, 0], observation[:, 1]
        action = -(observation.sum(axis=1) + self.interaction * a * b)
        return action[:, None], None


def biased(**biases: Any) -> Domain:
    entries = [{"bias": value, "of": name, "name": name} for name, value in biases.items()]
    return Domain(name="biased", sensing=entries)


def shares(found: Attribution) -> dict[str, float]:
    return {part.name: part.shapley.value for part in found.parts}


def test_a_linear_gap_is_divided_exactly() -> None:
    target = biased(a=0.125, b=0.25, c=0.0625)
    found = attribute(Sum(), Meter(), "nominal", target, episodes=3)
    assert shares(found) == pytest.approx({"a": 0.125, "b": 0.25, "c": 0.0625}, abs=1e-15)
    assert [part.name for part in found.parts] == ["b", "a", "c"]  # the largest first
    for part in found.parts:
        assert part.alone.value == pytest.approx(part.shapley.value, abs=1e-15)
        assert part.regained.value == pytest.approx(part.shapley.value, abs=1e-15)
        assert part.error == 0.0
    assert found.gap.value == pytest.approx(0.4375, abs=1e-15)
    assert (found.sets, found.pairs, found.steps) == (8, None, 8 * 3 * STEPS)


def test_an_interaction_is_shared() -> None:
    """-(a + b + 4 a b): with a = 1/8 and b = 1/4 the product costs 1/8, half of it each."""
    found = attribute(Sum(4.0), Meter(), "nominal", biased(a=0.125, b=0.25), episodes=3)
    assert shares(found) == pytest.approx({"a": 0.1875, "b": 0.3125}, abs=1e-15)
    parts = {part.name: part for part in found.parts}
    assert parts["a"].alone.value == pytest.approx(0.125)
    assert parts["a"].regained.value == pytest.approx(0.25)


def test_more_than_six_differences_are_sampled() -> None:
    biases = {name: 0.01 * (k + 1) for k, name in enumerate("abcdefg")}
    found = attribute(Sum(), Meter(), "nominal", biased(**biases), episodes=3)
    assert found.pairs == 16
    assert found.sets < 2**7
    assert shares(found) == pytest.approx(biases, abs=1e-15)
    interacting = attribute(Sum(4.0), Meter(), "nominal", biased(**biases), episodes=3, pairs=4)
    assert sum(shares(interacting).values()) == pytest.approx(interacting.gap.value)
    errors = {part.name: part.error for part in interacting.parts}
    assert errors["c"] == pytest.approx(0.0, abs=1e-15)


def test_ranges_are_drawn_alike_in_all_sets() -> None:
    """The part of a drawn bias is the mean of its draws, with the interval of these."""
    wide = biased(a={"uniform": [0.0, 0.2]}, b=0.25)
    found = attribute(Sum(), Meter(), "nominal", wide, episodes=20)
    rows = evaluate(Sum(), Meter(), biased(a={"uniform": [0.0, 0.2]}), episodes=20)
    drawn = np.array([row.context["a:a"] for row in rows])
    (part,) = [one for one in found.parts if one.name == "a"]
    assert part.shapley.value == pytest.approx(drawn.mean(), abs=1e-9)
    assert part.shapley.low < drawn.mean() < part.shapley.high


class Push:
    """Pushes the cart along with the pole."""

    def predict(self, observation: Any, state: Any = None, **_: Any) -> Any:
        return np.clip(observation[:, 1:2] + 0.3 * observation[:, 4:5], -1.0, 1.0), None


WEAK = Domain(
    name="weak",
    actuation=[{"strength": {"uniform": [0.5, 1.0]}}],  # type: ignore[list-item]
    sensing=[{"noise": {"normal": [0.0, 0.01]}}],  # type: ignore[list-item]
)


@pytest.mark.parametrize(("source", "target"), [(None, "hard"), (WEAK, "medium")])
def test_sets_have_the_returns_of_their_domains(source: Domain | None, target: str) -> None:
    """Bit for bit those of `evaluate`, whether values or another domain turn a difference off."""
    home, away = load_domain("cartpole", source), load_domain("cartpole", target)
    found = attribute(Push(), "cartpole", home, away, episodes=3, seed=3)

    def mean(domain: Domain) -> float:
        return float(returns(evaluate(Push(), "cartpole", domain, episodes=3, seed=3)).mean())

    assert found.source_return.value == mean(home)
    assert found.target_return.value == mean(away)
    without = without_each(home, away)
    for part in found.parts:
        domain = without[f"without-{part.name.replace(':', '-')}"]
        regained = mean(domain) - found.target_return.value
        assert part.regained.value == pytest.approx(regained, rel=1e-12, abs=1e-12)
    assert sum(shares(found).values()) == pytest.approx(found.gap.value)


def test_an_engine_is_a_difference() -> None:
    pytest.importorskip("pydrake")
    target = Domain(name="other", engine="drake", dynamics=[{"field": "body_mass", "scale": 1.2}])
    found = attribute(Push(), "cartpole", "nominal", target, episodes=3)
    assert {part.name for part in found.parts} == {"engine", "body_mass"}
    assert found.sets == 4


def test_the_waterfall_goes_from_source_to_target() -> None:
    found = attribute(Sum(), Meter(), "nominal", biased(a=0.125, b=0.25), episodes=3)
    bars = waterfall(found)
    assert [bar.name for bar in bars] == ["source: nominal", "b", "a", "target: biased"]
    assert [(bar.start, bar.end) for bar in bars] == [
        (0.0, pytest.approx(0.0)),
        (pytest.approx(0.0), pytest.approx(-0.25)),
        (pytest.approx(-0.25), pytest.approx(-0.375)),
        (0.0, pytest.approx(-0.375)),
    ]
    figure = waterfall_svg(found)
    assert figure == waterfall_svg(found)
    assert "source: nominal" in figure
    assert "−0.25" in figure


def test_a_target_equal_to_the_source_is_refused() -> None:
    with pytest.raises(UserError, match="same content: there is no difference"):
        attribute(Push(), "cartpole", "hard", "hard")


def test_too_few_episodes_are_refused_with_their_number() -> None:
    with pytest.raises(UserError, match="episodes is 2; an interval needs at least 3"):
        attribute(Push(), "cartpole", "nominal", "hard", episodes=2)


def test_a_gap_that_may_be_none_and_a_negative_one_are_told() -> None:
    nothing = attribute(Sum(), Meter(), "nominal", biased(a=0.0), episodes=3)
    assert nothing.notes == ("the interval of the gap includes 0: there may be nothing to explain",)
    better = attribute(Sum(), Meter(), "nominal", biased(a=-0.1), episodes=3)
    assert better.notes == ("the return is higher in the target: the gap is negative",)


def test_the_verb_writes_figure_data_and_domains(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["attribute", "pretrained:cartpole", "--target", "mild", "--episodes", "3"]
    assert main([*words, "--out", str(tmp_path), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data == json.loads((tmp_path / "attribution.json").read_text())
    total = sum(part["shapley"]["value"] for part in data["parts"])
    assert total == pytest.approx(data["gap"]["value"])
    table = list(csv.DictReader(io.StringIO((tmp_path / "attribution.csv").read_text())))
    assert float(table[-2]["end"]) == pytest.approx(data["target_return"]["value"])
    assert (tmp_path / "attribution.svg").read_text().startswith("<svg")
    domain = load_domain("cartpole", f"{tmp_path / 'attribution.yaml'}:without-body_mass")
    assert domain.parameters == ()


def test_a_policy_of_other_spaces_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["attribute", "pretrained:furuta", "--task", "cartpole", "--target", "medium"]
    assert main(words) == 2
    assert "furuta" in capsys.readouterr().err
