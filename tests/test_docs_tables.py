"""Tables of the documentation that repeat what the code says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from sim2real.policies.recipe import RECIPES, load_recipe
from sim2real.studies.config import ComparisonConfig, StudyConfig
from sim2real.studies.measures import MEASURES
from sim2real.transfer.methods import METHODS

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"


def cells_of(page: str, heading: str) -> list[list[str]]:
    """The rows of the first table under a heading, or at the top without one; no backticks."""
    text = (DOCS / page).read_text()
    text = (text.split(f"\n## {heading}\n")[1] if heading else text).split("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_files_that_the_architecture_names_are_there() -> None:
    folders = (ROOT / folder for folder in ("sim2real", "envs", "policies", "tests"))
    there = {path.name for folder in folders for path in folder.rglob("*.py")}
    named = re.findall(r"`([\w/]+\.py)`", (DOCS / "architecture.md").read_text())
    assert len(named) > 20
    assert {Path(name).name for name in named} <= there


def test_every_measure_of_a_report_is_defined() -> None:
    text = (DOCS / "evaluation.md").read_text().lower()
    assert [
        one.heading for one in MEASURES.values() if f"| {one.heading.lower()} |" not in text
    ] == []


def test_every_method_has_a_page_and_a_row() -> None:
    rows = {row[0] for row in cells_of("methods/index.md", "")}
    assert rows == {f"[{name}]({name}.md)" for name in METHODS}
    assert all((DOCS / "methods" / f"{name}.md").is_file() for name in METHODS)


def value_of(cell: str) -> Any:
    return yaml.safe_load(cell.strip("`"))


def plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


@pytest.mark.parametrize("column", range(len(RECIPES)), ids=list(RECIPES))
def test_defaults_of_the_recipes(column: int) -> None:
    algorithm = list(RECIPES)[column]
    written = {
        row[0].strip("`"): value_of(row[1 + column])
        for row in cells_of("reference/recipes.md", "Options")
        if row[1 + column]
    }
    recipe = load_recipe(algorithm)
    fields = type(recipe).model_fields
    actual = {name: plain(getattr(recipe, name)) for name in fields if name != "algorithm"}
    assert {name: float(v) if is_number(v) else v for name, v in written.items()} == actual


def is_number(value: Any) -> bool:
    """YAML 1.1 reads 1e-05 as a string."""
    return isinstance(value, str) and re.fullmatch(r"[\d.]+e-?\d+", value) is not None


def test_recipes_tuned_by_task() -> None:
    written = {
        (row[0].strip("`"), row[1]): yaml.safe_load(
            "{" + re.sub(r"(?<=\d)(?=e)", ".0", row[2].replace("`", "")) + "}"
        )
        for row in cells_of("reference/recipes.md", "Tuned by task")
    }
    recipes = {
        algorithm: yaml.safe_load((ROOT / f"policies/recipes/{algorithm}.yaml").read_text())
        for algorithm in RECIPES
    }
    actual = {
        (task, algorithm): options
        for algorithm, recipe in recipes.items()
        for task, options in recipe.items()
        if task != "default" and options
    }
    assert written == actual


@pytest.mark.parametrize("config", [StudyConfig, ComparisonConfig])
def test_every_key_of_a_study_is_in_the_examples(config: type[StudyConfig]) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (DOCS / "howto/study.md").read_text(), re.DOTALL)
    examples = [yaml.safe_load(block) for block in blocks]
    (example,) = [one for one in examples if is_for(config, one)]
    common = {"name", "about", "task_options", "episodes", "audit", "out", "options"}
    optional = set() if config is StudyConfig else common
    assert set(config.model_fields) - optional - {"domain"} <= set(example)
    config.model_validate({"name": "example", **example})


def is_for(config: type, example: dict[str, Any]) -> bool:
    key = "methods" if config is StudyConfig else "pretrainings"
    return key in example and "task" in example
