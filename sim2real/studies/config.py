"""What a study is asked: one YAML file, checked before anything is run.

A study compares methods of transfer; one with `pretrainings` compares ways to pretrain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from sim2real.config import MOST_SEEDS, Config, Count, Episodes, Seed, parse
from sim2real.errors import UserError, whole_number
from sim2real.files import read_yaml, user_path
from sim2real.registry import trusted_task
from sim2real.transfer.method import trusted_method

SCRATCH = "scratch"
"""The baseline method, learning in the target alone; part of every study."""


class Source(Config):
    """Where the policies come from: one pretraining a seed."""

    domain: str = "randomized"
    algorithm: str = "ppo"
    steps: Count
    """Control steps of each pretraining."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the recipe, by name."""


class Oracle(Config):
    """The reference of each target: trained in the target itself, without a budget."""

    steps: Count
    seed: Seed = 0
    options: dict[str, Any] = Field(default_factory=dict)


class Table(Config):
    """What every study has: its name, its task, the domains it looks at, and how often."""

    name: str = "study"
    about: str = ""
    task: str
    """Name, file or "module:Class" of the task."""
    task_options: dict[str, Any] = Field(default_factory=dict)
    targets: tuple[str, ...] = Field(min_length=1)
    """Names of the task's domains, or "file.yaml:name"."""
    seeds: tuple[Seed, ...] = Field((0, 1, 2), min_length=1, max_length=MOST_SEEDS)
    episodes: Episodes = 20
    """Episodes of every evaluation."""
    audit: bool | tuple[str, ...] = True
    """Whether the domains are audited first; or the names of parameters whose errors are waived."""
    out: str | None = None
    """Folder of the study; by default runs/<name>."""

    @field_validator("seeds", mode="before")
    @classmethod
    def _counted(cls, value: Any) -> Any:
        """A number n stands for the seeds 0 to n - 1."""
        if isinstance(value, bool) or not isinstance(value, int):
            return value
        return tuple(range(whole_number("the number of seeds", value, 1, MOST_SEEDS)))

    @field_validator("targets", "seeds")
    @classmethod
    def _once(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(value)) != len(value):
            raise ValueError(f"each may be there once, got {list(value)}")
        return value

    @property
    def folder(self) -> Path:
        """Where the study's runs, ledger and report are."""
        return user_path(self.out or f"runs/{self.name}")


class StudyConfig(Table):
    """Methods x targets x seeds, each with the same budget of target steps."""

    source: Source
    methods: dict[str, dict[str, Any]] = Field(min_length=1)
    """Label -> options; `name` among them is the method, by default the label is its name."""
    budget: Count
    """Control steps of the target that each method may use."""
    evaluations: int | tuple[int, ...] = 5
    """Target steps at which to evaluate, 0 and the budget always; a number: so many equal parts."""
    oracle: Oracle

    @field_validator("methods", mode="before")
    @classmethod
    def _labelled(cls, value: Any) -> Any:
        """Names, or {label: options}, in a list; from scratch is always the last."""
        if not isinstance(value, list | tuple):
            return value
        named = labelled(value, "method")
        return {**named, SCRATCH: named.pop(SCRATCH, {})}

    def method(self, label: str) -> dict[str, Any]:
        """What `load_method` takes for the method of that label."""
        return {"name": label, **self.methods[label]}


class Pretraining(Config):
    """One way to pretrain: what differs from the study's own."""

    domain: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the recipe, by name."""
    randomization: dict[str, Any] | None = None
    """How the domain's ranges are drawn from, as `pretrain` takes it; None: as they are."""


class ComparisonConfig(Table):
    """Pretrainings x targets x seeds at equal steps, each policy evaluated as it is."""

    domain: str = "randomized"
    algorithm: str = "ppo"
    steps: Count
    """Control steps of every pretraining."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the recipe that all share, by name."""
    pretrainings: dict[str, Pretraining] = Field(min_length=1)
    """Label -> what differs; the others are compared with the first."""

    @field_validator("pretrainings", mode="before")
    @classmethod
    def _labelled(cls, value: Any) -> Any:
        """Labels, or {label: what differs}, in a list."""
        return labelled(value, "pretraining") if isinstance(value, list | tuple) else value


def labelled(entries: Sequence[Any], kind: str) -> dict[str, Any]:
    """Entries that are a label or {label: options} as one table. ValueError for anything else."""
    table: dict[str, Any] = {}
    for entry in entries:
        one = {entry: {}} if isinstance(entry, str) else entry
        if not isinstance(one, Mapping) or len(one) != 1:
            raise ValueError(f"a {kind} is a name or {{label: {{option: value}}}}")
        ((label, options),) = one.items()
        if label in table:
            raise ValueError(f"{kind} {label!r} is there twice; give one another label")
        table[label] = options or {}
    return table


def load_study(path: Path | str, trust_code: bool = False) -> StudyConfig | ComparisonConfig:
    """The study in a YAML file; UserError tells every problem with its key and the nearest match.

    Its name is by default the file's. Code that it names is imported later, as named by the user;
    so it must be code that the user made or accepted before, or accepts here by `trust_code`.
    """
    data = read_yaml(user_path(path))
    if not isinstance(data, dict):
        raise UserError(f"{path}: expected keys and values, got {type(data).__name__}")
    named = {"name": Path(path).stem, **data}
    config: StudyConfig | ComparisonConfig
    if "pretrainings" in data:
        config = parse(ComparisonConfig, named, str(path))
    else:
        config = parse(StudyConfig, named, str(path))
    trusted_task(config.task, str(path), trust_code)
    methods = config.methods if isinstance(config, StudyConfig) else {}
    for label, options in methods.items():
        trusted_method(str(options.get("name", label)), str(path), trust_code)
    return config
