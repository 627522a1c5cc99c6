"""The configuration of a study: one YAML file, checked before anything is run.

A study compares methods of transfer; one with `pretrainings` compares ways to pretrain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from sim2real.config import MOST_SEEDS, MOST_STEPS, Config, Count, Episodes, Seed, parse
from sim2real.domains import load_domain
from sim2real.errors import UserError, brief, whole_number
from sim2real.files import read_yaml, user_path
from sim2real.learning.curve import schedule
from sim2real.registry import load_task, trusted_task
from sim2real.transfer.find import METHOD_CLASSES

SCRATCH = "scratch"
"""The baseline method, learning in the target alone; part of every study."""
PLAIN = "plain"
"""The label of plain fine-tuning, part of every study unless `plain: false`: the policy is loaded
and learns on, with the source's learning rate and noise and without a warm-up of its critic. Its
rollouts are those of the other methods."""
ROWS = ("zero-shot", "oracle", "random")
"""Rows of a report that are no methods."""
BUDGET = "budget"
"""The key of a method's own budget among its options."""
PLAIN_OPTIONS = {
    "name": "fine_tune",
    "learning_rate_factor": 1.0,
    "warm_up": 0.0,
    "log_std": None,
}


class Source(Config):
    """Where the policies come from: a pretraining for each seed, or runs that are given."""

    domain: str | None = None
    """Source domain; by default "randomized", or the domain of the run that is given."""
    algorithm: str = "ppo"
    steps: Count | None = None
    """Control steps of each pretraining."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the recipe, by name."""
    run: tuple[str, ...] = ()
    """Runs in place of pretrainings: folders, "pretrained:hopper", or zips of SB3; one for all
    seeds or one for each."""

    @field_validator("run", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        """One run may be given without a list."""
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _trained_or_given(self) -> Source:
        if not self.run and self.steps is None:
            raise ValueError("give steps, the control steps of each pretraining, or a run")
        changed = self.model_fields_set & {"algorithm", "steps", "options"}
        if self.run and changed:
            raise ValueError(f"a run is given, so {', '.join(sorted(changed))} cannot be chosen")
        return self


Way = Literal["scratch", "source"]
WAYS: tuple[Way, ...] = ("scratch", "source")
ORACLE_SEEDS = 3
"""Fewest seeds of an oracle that give it an interval."""


def counted(value: Any) -> Any:
    """A number n stands for the seeds 0 to n - 1."""
    if isinstance(value, bool) or not isinstance(value, int):
        return value
    return tuple(range(whole_number("the number of seeds", value, 1, MOST_SEEDS)))


def once(value: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values, each of which may be there once; ValueError otherwise."""
    if len(set(value)) != len(value):
        raise ValueError(f"each may be there once, got {list(value)}")
    return value


Once = AfterValidator(once)
Seeds = Annotated[
    tuple[Seed, ...], Field(min_length=1, max_length=MOST_SEEDS), BeforeValidator(counted), Once
]
"""Seeds, each once; or a number n for the seeds 0 to n - 1."""


class Oracle(Config):
    """The reference of each domain: trained in the domain itself, without a budget.

    It is trained from scratch and from the source's policy; the better of the two counts.
    """

    steps: Count
    """Control steps of each of these trainings."""
    seeds: Seeds | None = None
    """By default three: the first of the study's, and 0, 1, 2 where it has fewer."""
    ways: Annotated[tuple[Way, ...], Once] = Field(WAYS, min_length=1)
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the recipe, by name."""


def folder_name(name: str) -> str:
    """The name of a study, after which its folder is named; ValueError for what none can have."""
    if not 0 < len(name) <= 100 or name.startswith(".") or not name.isprintable():
        raise ValueError("a name has 1 to 100 printable characters, and a dot is not the first")
    if "/" in name or "\\" in name:
        raise ValueError("a name has no / or \\; out is the folder of the study")
    return name


class Table(Config):
    """The base of every study's configuration: name, task, targets, seeds and episodes."""

    name: Annotated[str, AfterValidator(folder_name)] = "study"
    about: str = ""
    task: str
    """Name, file or "module:Class" of the task."""
    task_options: dict[str, Any] = Field(default_factory=dict)
    targets: Annotated[tuple[str, ...], Once] = Field(min_length=1)
    """Names of the task's domains, or "file.yaml:name"."""
    seeds: Seeds = (0, 1, 2)
    episodes: Episodes = 20
    """Episodes of every evaluation."""
    audit: bool | tuple[str, ...] = True
    """Whether the domains are audited first; or the names of parameters whose errors are waived."""
    out: str | None = None
    """Folder of the study; by default runs/<name>."""

    @property
    def folder(self) -> Path:
        """Where the study's runs, ledger and report are."""
        return user_path(self.out or f"runs/{self.name}")


class StudyConfig(Table):
    """Methods x targets x seeds, on a budget of target steps for all, or one for a method."""

    source: Source
    methods: dict[str, dict[str, Any]] = Field(min_length=1)
    """Label -> options; `name` among them is the method, by default the label is its name, and
    `budget` its own budget in place of the study's."""
    budget: Count
    """Control steps of the target that each method may use."""
    evaluations: int | tuple[int, ...] = 5
    """Target steps of the evaluations, besides 0 and the budget; a number asks for equal parts."""
    oracle: Oracle
    plain: bool = True
    """Whether plain fine-tuning is a baseline beside the methods."""

    @field_validator("methods", mode="before")
    @classmethod
    def _labelled(cls, value: Any) -> Any:
        """Names, or {label: options}, in a list."""
        return labelled(value, "method") if isinstance(value, list | tuple) else value

    @field_validator("methods")
    @classmethod
    def _told_apart(cls, value: dict[str, Any]) -> dict[str, Any]:
        """The report shows `_` as `-`, and rows of its own."""
        shown = [label.replace("_", "-") for label in value]
        for label, name in zip(value, shown, strict=True):
            if name in ROWS:
                raise ValueError(f"{label!r} is a row of the report; allowed: another label")
            if shown.count(name) > 1:
                raise ValueError(f"{label!r} is there twice as {name!r}; allowed: another label")
        return value

    @model_validator(mode="after")
    def _with_baselines(self) -> StudyConfig:
        """Enter the baselines after the methods: plain fine-tuning, and scratch as the last."""
        plain = {PLAIN: PLAIN_OPTIONS} if self.plain else {}
        entered = {**self.methods, **plain, **self.methods}
        entered[SCRATCH] = entered.pop(SCRATCH, {})
        object.__setattr__(self, "methods", entered)  # frozen, but still being made
        return self

    @model_validator(mode="after")
    def _own_budgets(self) -> StudyConfig:
        for label, options in self.methods.items():
            if BUDGET in options:
                whole_number(f"methods: {label}: budget", options[BUDGET], 1, MOST_STEPS)
        return self

    @model_validator(mode="after")
    def _a_run_for_each_seed(self) -> StudyConfig:
        runs = len(self.source.run)
        if runs not in (0, 1, len(self.seeds)):
            raise ValueError(
                f"source.run has {runs} runs for {len(self.seeds)} seeds; allowed: one for all, "
                "or one for each"
            )
        return self

    @property
    def oracle_seeds(self) -> tuple[int, ...]:
        """The seeds of the oracle: those given, or the first three of the study's, filled up."""
        more = range(ORACLE_SEEDS + len(self.seeds))
        return self.oracle.seeds or tuple(dict.fromkeys([*self.seeds, *more]))[:ORACLE_SEEDS]

    def method(self, label: str) -> dict[str, Any]:
        """The argument of `load_method` for the method of that label."""
        options = {key: value for key, value in self.methods[label].items() if key != BUDGET}
        return {"name": label, **options}

    def budget_of(self, label: str) -> int:
        """Control steps of the target that the method of that label may use."""
        return int(self.methods[label].get(BUDGET, self.budget))

    def points_of(self, label: str) -> tuple[int, ...]:
        """Target steps at which the method of that label is evaluated."""
        budget = self.budget_of(label)
        if isinstance(self.evaluations, int):
            return schedule(self.evaluations, budget)
        return schedule([step for step in self.evaluations if step <= budget], budget)


class Pretraining(Config):
    """One way to pretrain: its differences from the study's options."""

    domain: str | None = None
    width: float = Field(1.0, ge=0.0)
    """How wide the ranges of its domain are, as a factor; 0 leaves none."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the recipe, by name."""
    randomization: dict[str, Any] | None = None
    """Adaptive randomization, as `pretrain` takes it; None: the domain as it is."""


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
    """The study in a YAML file; UserError lists every problem with its key and the nearest match.

    Its name is by default that of the file. Code that it or its domains name must be code that the
    user made or accepted before, or accepts here by `trust_code`; it is imported later.
    """
    data = read_yaml(user_path(path))
    if not isinstance(data, dict):
        raise UserError(f"{path}: expected keys and values, got {brief(data)}")
    named = {"name": Path(path).stem, **data}
    config: StudyConfig | ComparisonConfig
    if "pretrainings" in data:
        config = parse(ComparisonConfig, named, str(path))
    else:
        config = parse(StudyConfig, named, str(path))
    trusted_task(config.task, str(path), trust_code)
    methods = config.methods if isinstance(config, StudyConfig) else {}
    for label, options in methods.items():
        METHOD_CLASSES.trusted(str(options.get("name", label)), str(path), trust_code)
    if trust_code:
        task = load_task(config.task, **config.task_options)
        for domain in _domains_of(config):
            load_domain(task, domain, trust_code=True)
    return config


def _domains_of(config: StudyConfig | ComparisonConfig) -> list[str]:
    """The references of the domains that a study names."""
    if isinstance(config, StudyConfig):
        return [name for name in (config.source.domain, *config.targets) if name]
    others = [one.domain for one in config.pretrainings.values() if one.domain]
    return [config.domain, *others, *config.targets]
