"""Faults of a training that can be replayed: the worlds some time before, and the actions since.

RUN/faults/000640/worlds.safetensors   a snapshot, and the actions that followed it
                  fault.json           the error, the world, its context and seed
                  domain.yaml          the domain
                  manifest.json        size and SHA-256 of the three files
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from sim2real.config import Config, Seed, Worlds, parse
from sim2real.domains import dump_domains, load_domains
from sim2real.errors import UserError
from sim2real.learning.callbacks import AtRollouts
from sim2real.plain import parse_json
from sim2real.runs.checked_folder import read_checked, write_checked
from sim2real.runs.checkpoint import NotSavedError, refused_if_damaged, refused_if_unwritten
from sim2real.runs.pretrained import find_run
from sim2real.runs.run import RunFolder, read_folder
from sim2real.runs.state import all_layers
from sim2real.runs.verify import FAULTS
from sim2real.simulation import Simulation
from sim2real.simulation.actions import ActionMap
from sim2real.simulation.front_ends.vec_env import SimVecEnv
from sim2real.simulation.soundness import NotFiniteError

WORLDS, ABOUT, DOMAIN = "worlds.safetensors", "fault.json", "domain.yaml"
ACTIONS = "actions"
EVERY = 64
"""Control steps between two snapshots, at least; a rollout may take more."""
SHOWN = 5
"""States before a fault that are shown."""


class About(Config):
    """The content of fault.json."""

    error: str
    world: int
    control_step: int
    """Steps of the training, over all worlds, before the one that failed."""
    seed: Seed
    num_envs: Worlds
    history: int
    privileged: bool | str
    action_map: dict[str, Any] | None
    context: dict[str, float]
    """What the faulty world drew for its episode."""


class FaultRecorder(AtRollouts):
    """Keeps a snapshot of the worlds, and the actions since, for `write_fault`."""

    def __init__(self) -> None:
        super().__init__()
        self._worlds: list[SimVecEnv] = []
        self._snapshots: list[dict[str, NDArray[Any]]] = []
        self._actions: list[list[NDArray[Any]]] = []

    def _on_training_start(self) -> None:
        env = self.model.get_env()
        layers = [] if env is None else list(all_layers(env))
        self._worlds = [one for one in layers if isinstance(one, SimVecEnv)]
        self._keep()

    def _on_rollout_start(self) -> None:
        if self._actions and len(self._actions[0]) >= EVERY:
            self._keep()

    def _on_step(self) -> bool:
        for kept, env in zip(self._actions, self._worlds, strict=True):
            kept.append(np.array(env.actions))
        return True

    def _keep(self) -> None:
        self._snapshots = [env.simulation.snapshot() for env in self._worlds]
        self._actions = [[] for _ in self._worlds]

    def saved(self, run: Path, error: NotFiniteError) -> NotFiniteError:
        """Save the fault that has just been raised; the error with the command that repeats it.

        As it is where a replay does not raise it again (the task is not deterministic), and where
        it cannot be saved.
        """
        for env, snapshot, actions in zip(
            self._worlds, self._snapshots, self._actions, strict=True
        ):
            given = np.array([*actions, np.array(env.actions)])
            if str(_repeated(env.simulation, snapshot, given)) != str(error):
                continue
            with contextlib.suppress(NotSavedError):
                path = _write(run, self.num_timesteps, env.simulation, snapshot, given, error)
                return NotFiniteError(f"{error}; `sim2real replay {path}` repeats it", error.world)
        return error


def _repeated(
    simulation: Simulation, snapshot: dict[str, NDArray[Any]], actions: NDArray[Any]
) -> NotFiniteError | None:
    """The error of the last of the actions (k, n, nu) that follow a snapshot; None without one."""
    simulation.restore(snapshot)
    for action in actions[:-1]:
        simulation.step(action)
    try:
        simulation.step(actions[-1])
    except NotFiniteError as error:
        return error
    return None


def _write(
    run: Path,
    step: int,
    simulation: Simulation,
    snapshot: dict[str, NDArray[Any]],
    actions: NDArray[Any],
    error: NotFiniteError,
) -> Path:
    world = error.world or 0
    to_task = simulation.action_map
    about = About(
        error=str(error),
        world=world,
        control_step=step,
        seed=simulation.seed,
        num_envs=simulation.num_envs,
        history=simulation.shown_steps,
        privileged=simulation.shows,
        action_map=None if to_task is None else to_task.plain(),
        context=simulation.contexts()[world],
    )
    tensors = {name: np.array(one, order="C") for name, one in snapshot.items()}
    path = run / FAULTS / f"{step:09d}"
    contents = {
        WORLDS: safetensors.numpy.save({**tensors, ACTIONS: actions}),
        ABOUT: about.model_dump_json(indent=2).encode() + b"\n",
        DOMAIN: dump_domains({simulation.domain.name: simulation.domain}).encode(),
    }
    with refused_if_unwritten(run):
        if not path.exists():
            write_checked(path, contents)
    return path


@dataclass(frozen=True)
class Replay:
    """A fault that was replayed; states are (k, n) with the last control step before it last."""

    error: str
    reproduced: bool
    """Whether the same error was raised at the same control step, in the same world."""
    world: int
    steps: int
    """Control steps that were replayed."""
    episode_step: int
    """Control steps of the world's episode before the fault."""
    seed: int
    context: dict[str, float]
    qpos: NDArray[np.float64]
    qvel: NDArray[np.float64]
    actions: NDArray[np.float64]
    """What the world's policy gave at these steps and at the faulty one."""


def replay_fault(fault: Path | str, **loading: Any) -> Replay:
    """Repeat a fault of a training, from the folder that its error names.

    `loading` is that of `load_run`: `task`, `task_options`, `trust_code`, `accept_changes`.
    Raises UserError for a folder that is no fault of a run, and for a damaged one.
    """
    path = find_run(fault)
    path = path.parent if path.name == ABOUT else path
    if not (path / ABOUT).is_file():
        raise UserError(f"{path} is no fault: it has no {ABOUT}; allowed: RUN/{FAULTS}/STEP")
    found = read_checked(path, (WORLDS, ABOUT, DOMAIN))
    run = _run_of(path, **loading)
    with refused_if_damaged(str(path)):
        about = parse(About, parse_json(found[ABOUT].decode()), str(path / ABOUT))
        tensors = safetensors.numpy.load(found[WORLDS])
        (domain,) = load_domains(path / DOMAIN, run.loading.trust_code).values()
        simulation = Simulation(
            run.task,
            domain,
            about.num_envs,
            about.seed,
            privileged=about.privileged,  # type: ignore[arg-type]
            actions="own" if about.action_map is None else ActionMap.of(about.action_map),
            history=about.history,
        )
        try:
            return _replayed(simulation, about, tensors.pop(ACTIONS), tensors)
        finally:
            simulation.close()


def _run_of(fault: Path, **loading: Any) -> RunFolder:
    """The run that a fault is in, maybe in one of its phases."""
    for folder in fault.absolute().parents:
        if (folder / "config.yaml").is_file():
            return read_folder(folder, **loading)
    raise UserError(f"{fault} is in no run; a fault is replayed where it was saved")


def _replayed(
    simulation: Simulation,
    about: About,
    actions: NDArray[np.float64],
    snapshot: dict[str, NDArray[Any]],
) -> Replay:
    simulation.restore(snapshot)
    world, states, error = about.world, [], ""
    for action in actions:
        states.append((simulation.qpos[world].copy(), simulation.qvel[world].copy()))
        before = int(simulation.steps[world])
        try:
            simulation.step(action)
        except NotFiniteError as raised:
            error = str(raised)
            break
    qpos, qvel = (np.array(values) for values in zip(*states[-SHOWN:], strict=True))
    done = len(states)
    return Replay(
        error=about.error,
        reproduced=error == about.error and done == len(actions),
        world=world,
        steps=done,
        episode_step=before,
        seed=about.seed,
        context=about.context,
        qpos=qpos,
        qvel=qvel,
        actions=actions[max(done - SHOWN, 0) : done, world],
    )
