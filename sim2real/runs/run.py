"""The run folder: everything about one training or transfer, readable without executing anything.

config.yaml   what was asked, resolved      task.json      observation and action contract
domains.yaml  the worlds                    versions.json  what it was made with
manifest.json hashes of the first three     checkpoints/  report/
events.out.*  for TensorBoard
files/        code, models and domains of the user's own (see `copies`)
"""

from __future__ import annotations

import functools
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, model_validator
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy

from sim2real import files
from sim2real.config import MOST_STEPS, Config, Count, Episodes, Seed, Worlds, parse
from sim2real.domains import Domain, dump_domains, load_domains
from sim2real.errors import UserError
from sim2real.evaluation.provenance import version_of
from sim2real.plain import dump_yaml
from sim2real.policies.build import build_offline
from sim2real.policies.modifiers import Frozen, Modifier, apply_modifiers, parse_modifier
from sim2real.policies.recipe import AnyRecipe, parse_recipe
from sim2real.registry import load_task, trusted_task
from sim2real.runs import checkpoint as checkpoints
from sim2real.runs.answers import require_answers
from sim2real.runs.checkpoint import Checkpoint
from sim2real.runs.contract import (
    RunContract,
    describe_task,
    map_of,
    read_task_info,
    spaces_of,
    terms_of,
)
from sim2real.runs.copies import copied_source, copies_of, place_model, read_index
from sim2real.runs.pretrained import absent, find_run, is_published, reference_of
from sim2real.runs.seal import report_edits, seal
from sim2real.runs.state import load_policy
from sim2real.simulation import Simulation
from sim2real.simulation.actions import Choice
from sim2real.sources import Source, source_of
from sim2real.task import Task
from sim2real.trust import accept, require_trust

PACKAGES = (
    *("sim2real", "mujoco", "gymnasium", "stable-baselines3", "torch", "numpy", "scipy"),
    *("pydantic", "tyro", "tensorboard", "safetensors"),
)
FOLDERS = ("checkpoints", "report")


class RunConfig(Config):
    """The resolved configuration of a run: enough to make it again."""

    kind: Literal["pretrain", "transfer", "distill", "foreign"] = "pretrain"
    """How its policy was made; `foreign`: it was read from an SB3 zip."""
    task: str
    """Reference of the task: name, absolute path, or "module:Class"."""
    task_options: dict[str, Any] = Field(default_factory=dict)
    algorithm: str
    recipe: dict[str, Any]
    """Every option of the algorithm."""
    domain: str
    """Name in domains.yaml of the domain that is learned in."""
    target: str | None = None
    """Name in domains.yaml of a domain to show beside it."""
    randomization: dict[str, Any] | None = None
    """How the domain's distributions follow the policy, every option; none: they stay."""
    steps: Count
    """Control steps, over all worlds."""
    extended: tuple[Count, ...] = ()
    """The steps that were asked for before the run was extended, in this order."""
    seed: Seed = 0
    num_envs: Worlds
    checkpoint_every: Count | None = None
    keep_checkpoints: Count | None = None
    """Checkpoints that are kept: the last so many, and the best; none: all."""
    pictures_every: Annotated[int, Field(ge=0, le=MOST_STEPS)] = 0
    """Control steps between two animations; 0 for none."""
    modifiers: tuple[dict[str, Any], ...] = ()
    """The changes of the policy's networks after the recipe made them."""
    method: dict[str, Any] | None = None
    """The transfer method and its options."""
    source: str | None = None
    """The run that a transfer starts from, or the zip of a foreign policy."""
    accept_changes: bool = False
    """Whether the user accepted that the source and the task of the target do not agree."""
    curve: tuple[int, ...] | None = None
    """Control steps at which the policy is evaluated in the domain that it learns in."""
    curve_episodes: Episodes = 20
    """Episodes of each of these evaluations."""

    @model_validator(mode="before")
    @classmethod
    def _converts_frozen(cls, data: Any) -> Any:
        """Runs of older versions have the key `frozen` in place of a modifier."""
        if not isinstance(data, dict) or "frozen" not in data:
            return data
        names = data["frozen"]
        found = [{"kind": "frozen", "names": names}] if names else []
        given = {key: value for key, value in data.items() if key != "frozen"}
        return given | {"modifiers": [*given.get("modifiers", ()), *found]}

    def parsed_recipe(self) -> AnyRecipe:
        """The recipe as a typed object."""
        return parse_recipe(self.algorithm, self.recipe)

    def parsed_modifiers(self) -> tuple[Modifier, ...]:
        """The modifiers as typed objects; UserError for an unknown kind or option."""
        return tuple(parse_modifier(one) for one in self.modifiers)

    @property
    def frozen(self) -> tuple[str, ...]:
        """Names of the policy's tensors that do not learn."""
        found = (one.names for one in self.parsed_modifiers() if isinstance(one, Frozen))
        return tuple(name for names in found for name in names)

    def with_modifiers(
        self, modifiers: Sequence[Modifier], frozen: Sequence[str] = ()
    ) -> RunConfig:
        """With these modifiers, and one for the `frozen` tensors that they do not name."""
        known = {name for one in modifiers if isinstance(one, Frozen) for name in one.names}
        missing = tuple(name for name in frozen if name not in known)
        every = [*modifiers, *([Frozen(names=missing)] if missing else [])]
        plain = tuple(one.model_dump(mode="json") for one in every)
        return self.model_copy(update={"modifiers": plain})


@dataclass(frozen=True)
class Loading:
    """The options with which a run is loaded."""

    task: str | Task | None = None
    """The task to use in place of the one that the run names."""
    task_options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the task besides those of the run, or in place of them."""
    trust_code: bool = False
    """Whether code of the run that is not known yet is accepted, and imported."""
    accept_changes: bool = False
    """Whether to continue although the task or the files of the run have changed."""


@dataclass(frozen=True)
class RunFolder:
    """The configuration of a run, read from its folder."""

    path: Path
    config: RunConfig
    task_info: dict[str, Any]
    domains: dict[str, Domain]
    loading: Loading

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r}, {self.config.task} in {self.config.domain})"

    @property
    def domain(self) -> Domain:
        """The domain that was learned in."""
        return self.domains[self.config.domain]

    @cached_property
    def task(self) -> Task:
        """The task.

        Raises UserError, before anything is imported, if it is code that the user neither named
        nor made or accepted before; and if it is not what it was (see `RunContract`).
        """
        task = self._load_task()
        self.contract.require(task)
        return task

    @cached_property
    def contract(self) -> RunContract:
        """The contract of the policy, compared with each task in which the policy acts."""
        recipe = self.config.parsed_recipe()
        domain = self.domain if recipe.needs_privileged or self.domain.model else None
        accepted = self.loading.accept_changes
        return RunContract(self.path, self.task_info, recipe.observed, domain, accepted)

    def _load_task(self) -> Task:
        given = self.loading.task
        if isinstance(given, Task):
            return given
        options = {**self.config.task_options, **self.loading.task_options}
        if given is not None:
            return load_task(given, **options)
        where, trust_code = str(self.path / "config.yaml"), self.loading.trust_code
        index = read_index(self.path)
        if index.task is None:
            return load_task(trusted_task(self.config.task, where, trust_code), **options)
        source = require_trust(copied_source(self.path, index.task), where, trust_code)
        task = load_task(source, **options)
        place_model(task, self.path, index)
        return task

    def method_source(self) -> Source | None:
        """The run's copy of the code of its method, if it is trusted; None if it has none.

        Raises UserError, before anything is imported, if it is not trusted.
        """
        method = read_index(self.path).method
        if method is None:
            return None
        where, trust_code = str(self.path / "config.yaml"), self.loading.trust_code
        return require_trust(copied_source(self.path, method), where, trust_code)


@dataclass(frozen=True)
class Run(RunFolder):
    """A run folder at one of its checkpoints."""

    checkpoint: Checkpoint

    def __repr__(self) -> str:
        config = self.config
        asked = f"{config.algorithm}, {self.step:,} of {config.steps:,} steps"
        return f"Run({str(self.path)!r}, {config.task} in {config.domain}, {asked})"

    @property
    def step(self) -> int:
        """The control steps that the weights were trained for."""
        return self.checkpoint.step

    @property
    def results(self) -> Path:
        """The folder for results: that of the run, or one under runs/ for a published policy.

        For a zip it is beside the zip, under another name: SB3's `load` would take it for the zip.
        """
        if self.config.kind == "foreign":
            zip_ = Path(str(self.config.source))
            return zip_.with_name(f"{zip_.stem}-sim2real")
        published = is_published(self.path)
        return Path("runs") / f"pretrained-{self.path.name}" if published else self.path

    @property
    def reference(self) -> str:
        """The reference that finds it again: pretrained:hopper, its absolute folder, or the zip.

        At another checkpoint than the last one "@" and the step follow.
        """
        if self.config.kind == "foreign":
            return str(self.config.source)
        found = reference_of(self.path)
        return found if self.step == self.steps[-1] else f"{found}@{self.step}"

    @property
    def steps(self) -> list[int]:
        """The steps of which there are checkpoints, ascending."""
        return checkpoints.steps(self.path)

    @cached_property
    def algorithm(self) -> BaseAlgorithm:
        """The SB3 algorithm with the checkpoint's weights and no environment."""
        observation_space, action_space = spaces_of(self.task_info)
        terms = terms_of(self.task_info)
        recipe, state = self.config.parsed_recipe(), self.checkpoint.state
        _check_layers(recipe, self.checkpoint)
        algorithm = build_offline(recipe, observation_space, action_space, terms)
        with torch.random.fork_rng(devices=[]):
            apply_modifiers(algorithm.policy, self.config.parsed_modifiers())
        load_policy(algorithm, self.checkpoint.policy, state.get("spaces"))
        if not self.loading.accept_changes:
            require_answers(algorithm.policy, state.get("answers"), str(self.path))
        algorithm.policy.action_map = map_of(self.task_info)  # type: ignore[assignment]
        algorithm.policy.run_contract = self.contract  # type: ignore[assignment]
        algorithm.policy.set_training_mode(False)
        return algorithm

    @property
    def policy(self) -> BasePolicy:
        """The SB3 policy with the checkpoint's weights, on the CPU, in evaluation mode."""
        return self.algorithm.policy


def create_run(
    path: Path | str,
    config: RunConfig,
    task: Task,
    domains: Mapping[str, Domain],
    methods: Sequence[type] = (),
    actions: Choice = "normalized",
    add: Callable[[Path], None] = lambda folder: None,
) -> Path:
    """Make the folder of a run that has not begun, whole or not at all.

    `actions` says how its policy gives actions; `add` writes what else belongs into the folder.
    Code of the user's own, of the task, `methods` and `domains`, is trusted from now on.
    Raises UserError if `path` exists and when the disk is full.
    """
    path = Path(path)
    observed = config.parsed_recipe().observed
    domain = domains[config.domain]
    simulation = Simulation(task, domain, threads=1, actions=actions, **observed)
    plain = config.model_dump(mode="json")
    copies = copies_of(task, methods, list(domains.values()))
    try:
        with files.new_folder(path) as folder:
            files.write_text(folder / "config.yaml", dump_yaml(plain))
            files.write_json(folder / "task.json", describe_task(simulation))
            files.write_text(folder / "domains.yaml", dump_domains(domains, copies.places))
            files.write_json(folder / "versions.json", versions())
            copies.write(folder)
            seal(folder)
            for name in FOLDERS:
                (folder / name).mkdir()
            add(folder)
    except OSError as error:
        if error.errno not in checkpoints.UNWRITTEN:
            raise
        where = path if error.filename is None else error.filename
        raise UserError(f"{where}: {error.strerror}; nothing was written") from None
    kinds = [kind for domain in domains.values() for kind in domain.own_kinds]
    for kind in (type(task), *methods, *kinds):
        if (source := source_of(kind)) is not None:
            accept(source)
    return path


def at_checkpoint(folder: RunFolder, step: int | None = None) -> Run:
    """The run in `folder` at a checkpoint: that of `step`, or the last good one."""
    checkpoint = checkpoints.read_checkpoint(folder.path, step)
    parts = {one.name: getattr(folder, one.name) for one in fields(RunFolder)}
    return Run(**parts, checkpoint=checkpoint)


def check_policy(folder: RunFolder) -> None:
    """UserError if the policy of the last good checkpoint acts differently since it was saved."""
    if checkpoints.steps(folder.path):
        _ = at_checkpoint(folder).algorithm  # its answers are compared when it is made


def read_folder(path: Path | str, **loading: Any) -> RunFolder:  # frozen
    """The configuration of a run, the contract of its task and its domains.

    Raises UserError if the folder is not a run, or if a symbolic link leads out of it.
    """
    path = find_run(path)
    if not path.exists():
        raise absent(path)
    if not (path / "config.yaml").is_file():
        raise UserError(f"{path} is not a run: it has no config.yaml")
    files.refuse_links_out_of(path)
    config = parse(RunConfig, files.read_yaml(path / "config.yaml"), str(path / "config.yaml"))
    config.parsed_recipe()
    config.parsed_modifiers()
    found = Loading(**loading)
    domains = load_domains(path / "domains.yaml", found.trust_code)
    for name in {config.domain, config.target or config.domain}:
        if name not in domains:
            raise UserError(f"{path}: domain {name!r} is not in its domains.yaml")
    task_info = read_task_info(path / "task.json")
    report_edits(path)
    return RunFolder(path, config, task_info, domains, found)


def _check_layers(recipe: AnyRecipe, checkpoint: Checkpoint) -> None:
    """UserError, before memory is taken, for layers larger than any that was saved."""
    sizes = [size for tensor in checkpoint.policy.values() for size in tensor.shape]
    layers = [size for part in recipe.layers() for size in part]
    layers += recipe.context_encoder or ()
    layers += [recipe.encoding] * (recipe.encoder != "stacked")
    if recipe.estimate:
        layers += [*recipe.estimator_net_arch, sum(recipe.estimate.values())]
    if max(layers, default=0) > max(sizes, default=0) or len(layers) > len(checkpoint.policy):
        raise UserError(f"{checkpoint.path} is of another network than {layers}")


@functools.cache
def versions() -> dict[str, str]:
    """Python, the platform and the packages that a result depends on."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    return found | {name: version_of(name) or "not installed" for name in PACKAGES}
