"""A toy world, small recipes for it, and readers of what a training leaves behind.

What takes seconds to import is imported where it is used: pytest-xdist's main process runs no test.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm


WALL_CLOCK = ("time/fps",)
"""Tags that depend on the machine and so differ between two equal trainings."""
SMALL: dict[str, dict[str, Any]] = {
    "ppo": {"num_envs": 8, "n_steps": 16, "batch_size": 32, "net_arch": [8], "n_epochs": 2},
    "sac": {"num_envs": 8, "net_arch": [8], "batch_size": 32, "learning_starts": 100},
    "td3": {"num_envs": 8, "net_arch": [8], "batch_size": 32, "learning_starts": 100},
}


@pytest.fixture(scope="session")
def opengl() -> None:
    """Skips the test where nothing can be drawn."""
    from sim2real.simulation import Simulation
    from sim2real.simulation.rendering import Renderer, RenderingUnavailable

    try:
        Renderer(Simulation("half_cheetah", threads=1), 32, 24).close()
    except RenderingUnavailable:
        pytest.skip("there is no OpenGL here")


def _load_toy() -> Any:
    spec = importlib.util.spec_from_file_location("toy", Path(__file__).with_name("toy.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["toy"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def toy() -> Any:
    return _load_toy()


@pytest.fixture(scope="module")
def short_cartpole() -> Iterator[None]:
    """Episodes of cartpole take 1 s, not 10: enough where no test asks how well a policy does."""
    from sim2real.envs.cartpole import Cartpole

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Cartpole, "episode_s", 1.0)
        yield


@pytest.fixture
def cells_in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cells of a study are worked off in this process: workers take seconds to start."""
    from sim2real.studies.executors.find import Where
    from sim2real.studies.executors.inline import InlineExecutor

    monkeypatch.setattr(Where, "open", lambda where, work, **_: InlineExecutor(work))


def search_little(patch: pytest.MonkeyPatch) -> None:
    """Identify few unknowns: 192 replays of a generation in place of 1,280."""
    for module in ("identify", "search"):
        patch.setattr(f"sim2real.identification.{module}.CANDIDATES", 24)
        patch.setattr(f"sim2real.identification.{module}.WINDOWS", 8)
    patch.setattr("sim2real.identification.search.ELITES", 6)


@pytest.fixture
def small_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """Identifications of few unknowns are enough: a small search finds them."""
    search_little(monkeypatch)


@pytest.fixture
def nothing_missing(small_search: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """One search in an identification, and none for what a family lacks, which takes longest."""
    monkeypatch.setattr("sim2real.identification.identify.STARTS", 1)
    monkeypatch.setattr("sim2real.identification.identify.missing", lambda *_: ())


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """An identification of few generations and steps without figures: no good fit, but a fit."""
    for name, value in (
        ("identify.GENERATIONS", 2),
        ("design.GENERATIONS", 1),
        ("design.CANDIDATES", 3),
        ("design.WINDOWS", 8),
        ("refine.STEPS", 2),
        ("refine.RESTARTS", 1),
        ("residual.STEPS", 1),
        ("residual.UNITS", 2),
    ):
        monkeypatch.setattr(f"sim2real.identification.{name}", value)
    monkeypatch.setattr("sim2real.identification.report.svg", lambda *_: "")


@pytest.fixture
def build(toy: Any) -> Callable[..., BaseAlgorithm]:
    from sim2real.policies.build import build_algorithm
    from sim2real.policies.recipe import load_recipe

    def build_(algorithm: str, seed: int = 0, **options: Any) -> BaseAlgorithm:
        recipe = load_recipe(algorithm, None, {**SMALL[algorithm], **options})
        return build_algorithm(recipe, toy.ToyVecEnv(recipe.num_envs, seed), seed)

    return build_


Curves = dict[str, list[tuple[int, Any]]]


def read_curves(run: Path) -> Curves:
    """Every scalar and histogram of a run as TensorBoard shows it, without wall-clock ones."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run), {"scalars": 0, "histograms": 0})
    events.Reload()
    tags = events.Tags()
    curves: Curves = {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in tags["scalars"]
        if tag not in WALL_CLOCK
    }
    for tag in tags["histograms"]:
        values = [(event.step, event.histogram_value) for event in events.Histograms(tag)]
        curves[tag] = [(step, (*value.bucket, value.sum, value.min)) for step, value in values]
    return curves


@pytest.fixture
def curves() -> Callable[[Path], Curves]:
    return read_curves
