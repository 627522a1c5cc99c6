"""The configuration of a search: one YAML file, checked before anything is run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from sim2real.config import Config, Count, Episodes, Seed, parse
from sim2real.errors import UserError, brief
from sim2real.files import read_yaml, user_path
from sim2real.registry import trusted_task
from sim2real.studies.config import Seeds, folder_name
from sim2real.studies.tuning.space import Space, parse_space
from sim2real.transfer.find import METHOD_CLASSES

Objective = Literal["return", "score", "gap_closed"]


class TuneConfig(Config):
    """A search over options of a recipe (a pretraining) or of a method (a transfer of a run)."""

    name: Annotated[str, AfterValidator(folder_name)] = "tune"
    about: str = ""
    task: str
    """Name, file or "module:Class" of the task."""
    task_options: dict[str, Any] = Field(default_factory=dict)
    domain: str
    """The domain of the trainings, or the target of the transfers."""
    algorithm: str = "ppo"
    steps: Count | None = None
    """Control steps of each training."""
    run: str | None = None
    """The run that is transferred: with it the search is over options of `method`."""
    method: str | None = None
    budget: Count | None = None
    """Control steps of the target that each transfer may use."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the recipe or the method that all trials share, by name."""
    space: dict[str, Space] = Field(min_length=1)
    """Option -> distribution, in the words of domain files; `recipe.learning_rate` is an option
    within an option."""
    trials: Annotated[int, Field(ge=1, le=100_000)]
    seeds: Seeds = (0,)
    """Each trial is a run for each seed; its value is their mean."""
    objective: Objective = "return"
    evaluate_in: str | None = None
    """The domain in which the objective is measured; by default `domain`."""
    episodes: Episodes = 20
    """Episodes of each evaluation."""
    evaluations: Annotated[int, Field(ge=1, le=100)] = 5
    """Equal parts of a training after which it is evaluated, and may be pruned."""
    pruning: Literal["median", "hyperband", "none"] = "median"
    sampler: Literal["tpe", "random"] = "tpe"
    seed: Seed = 0
    """The seed of the sampler."""
    out: str | None = None
    """Folder of the search; by default runs/<name>."""

    @field_validator("space", mode="before")
    @classmethod
    def _spaces(cls, value: Any) -> Any:
        """Each as a `Space`."""
        if not isinstance(value, dict):
            raise ValueError("expected {option: distribution}")
        return {str(name): parse_space(str(name), one) for name, one in value.items()}

    @model_validator(mode="after")
    def _training_or_transfer(self) -> TuneConfig:
        moved = {"run": self.run, "method": self.method, "budget": self.budget}
        given = [name for name, value in moved.items() if value is not None]
        if not given:
            if self.steps is None:
                raise ValueError("give steps for trainings, or run, method and budget")
        elif len(given) < len(moved):
            raise ValueError(f"a transfer needs run, method and budget; got {', '.join(given)}")
        elif self.steps is not None or "algorithm" in self.model_fields_set:
            raise ValueError("a run is given, so steps and algorithm cannot be chosen")
        if self.objective == "gap_closed" and not given:
            raise ValueError("gap_closed is of a transfer; give run, method and budget")
        return self

    @property
    def folder(self) -> Path:
        """Where the runs, the journal and the report are."""
        return user_path(self.out or f"runs/{self.name}")

    @property
    def parts(self) -> int:
        """Evaluations of each trial: a transfer has one, at its end."""
        return 1 if self.run is not None else self.evaluations

    def pause(self, part: int) -> int | None:
        """The control steps at which part 1, 2, ... of a training ends; None at the last."""
        if part == self.parts or self.steps is None:
            return None
        return part * self.steps // self.parts


def load_tune(path: Path | str, trust_code: bool = False) -> TuneConfig:
    """The search in a YAML file; UserError lists every problem with its key and the nearest match.

    Its name is by default that of the file. Code that it names must be trusted, as in `load_study`.
    """
    data = read_yaml(user_path(path))
    if not isinstance(data, dict):
        raise UserError(f"{path}: expected keys and values, got {brief(data)}")
    config = parse(TuneConfig, {"name": Path(path).stem, **data}, str(path))
    trusted_task(config.task, str(path), trust_code)
    if config.method is not None:
        METHOD_CLASSES.trusted(config.method, str(path), trust_code)
    return config
