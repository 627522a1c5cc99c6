from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sim2real.domains import Domain, load_domain
from sim2real.domains.digest import model_digest
from sim2real.evaluation import provenance
from sim2real.evaluation.provenance import (
    Contents,
    code_digest,
    content,
    differences,
    key_of,
    task_digest,
)
from sim2real.registry import load_task

ROBOTS = Path(__file__).parents[1] / "robots"


def test_the_key_is_made_of_content() -> None:
    task = load_task("hopper")
    hard = load_domain(task, "hard")

    def key(domain: Domain = hard, name: str = "hopper", steps: int = 5) -> str:
        return key_of(content(load_task(name), domain, steps=steps))

    assert key() == key()
    assert key(hard.model_copy(update={"name": "x", "about": "y"})) == key()
    others = [key(steps=6), key(load_domain(task, "medium")), key(Domain(), "walker2d")]
    assert len({key(), key(Domain()), *others}) == 5


@pytest.fixture
def robot(tmp_path: Path) -> Path:
    """A task in a file of its own, with a helper beside it."""
    for suffix in (".py", ".xml", ".yaml"):
        (tmp_path / f"own{suffix}").write_text((ROBOTS / f"slider{suffix}").read_text())
    own = tmp_path / "own.py"
    own.write_text(f"import gains_of_own\n{own.read_text()}")
    (tmp_path / "gains_of_own.py").write_text("GAIN = 1.0\n")
    return own


def test_the_code_of_a_task_and_of_what_it_imports_counts(
    robot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    first = task_digest(load_task(str(robot)))
    assert task_digest(load_task(str(robot))) == first
    (tmp_path / "gains_of_own.py").write_text("GAIN = 2.0\n")
    second = task_digest(load_task(str(robot)))
    assert second != first
    robot.write_text(f"{robot.read_text()}\nEXTRA = 1\n")
    assert task_digest(load_task(str(robot))) not in (first, second)
    sys.modules.pop("gains_of_own", None)


def test_the_code_that_makes_a_result_counts_and_no_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    room = tmp_path / "room"
    room.mkdir()
    (room / "maker.py").write_text("def make():\n    from sim2real.room import entries\n")
    (room / "entries.py").write_text("from sim2real.room.deeper import x\n")
    (room / "deeper.py").write_text("x = 1\n")
    (room / "apart.py").write_text("y = 1\n")
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    before = code_digest(room / "maker.py")
    (room / "apart.py").write_text("y = 2\n")
    assert code_digest(room / "maker.py") == before
    (room / "deeper.py").write_text("x = 2\n")
    assert code_digest(room / "maker.py") != before


def test_a_training_depends_on_the_code_of_domains_but_not_of_other_methods() -> None:
    def names(module: str) -> set[str]:
        return {file.name for file in provenance._closure((provenance._file_of(module),))}

    assert {"entry.py", "imperfection.py", "simulation.py", "recipe.py"} <= names(
        "sim2real.learning.pretrain"
    )
    assert "freeze.py" not in names("sim2real.transfer.methods.fine_tune")
    assert "fine_tune.py" in names("sim2real.transfer.methods.freeze")


def test_what_has_changed_is_reported() -> None:
    before = {
        "code": "a",
        "versions": {"sim2real": "0.1.0", "mujoco": "4"},
        "details": {"steps": 5},
    }
    now = {"code": "b", "versions": {"sim2real": "0.2.0", "mujoco": "4"}, "details": {"steps": 6}}
    assert differences(before, now) == [
        "the library's code",
        "sim2real 0.1.0 -> 0.2.0",
        "steps 5 -> 6",
    ]
    assert differences(before, before) == []
    changed = {"details": {"method": {"name": "x"}}}
    assert differences({"details": {}}, changed) == ["the method"]


def test_contents_of_one_task_digest_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    task, counted = load_task("hopper"), []
    alone = [content(task, Domain(), ["sim2real.learning.pretrain"], seed=n) for n in (0, 1)]
    digest = model_digest
    monkeypatch.setattr(provenance, "model_digest", lambda m: counted.append(m) or digest(m))
    contents = Contents(task)
    made = [contents.of(Domain(), ["sim2real.learning.pretrain"], seed=n) for n in (0, 1)]
    assert made == alone
    assert len(counted) == 1


def test_imports_within_any_statement_are_found() -> None:
    forms = (
        "def f():\n    try:\n        import a\n    except E:\n        import b\n"
        "match x:\n    case 1:\n        import c\n"
        "class A:\n    if y:\n        pass\n    else:\n        from d import e\n"
        "with z:\n    import f\n"
    )
    found = set(provenance._imported_names(provenance.ast.parse(forms)))
    assert found == {"a", "b", "c", "d", "d.e", "f"}
