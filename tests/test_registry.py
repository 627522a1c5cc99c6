"""A task is found by name, by path and by "module:Class"; anything else gives a clear error."""

from pathlib import Path

import pytest

from sim2real.domains.entries.own import KINDS
from sim2real.envs.hopper import Hopper
from sim2real.errors import UserError
from sim2real.registry import TASKS, gymnasium_ids, load_task, task_names, trusted_task
from sim2real.simulation.front_ends.foreign import find_foreign
from sim2real.transfer.find import METHOD_CLASSES


def trusted_policy(name):
    return trusted_task(name, "config.yaml")


SLIDER = Path(__file__).parent / "robots" / "slider.py"


def test_a_shipped_task_is_found_by_name_class_and_module():
    for reference in ("hopper", Hopper, "sim2real.envs.hopper:Hopper"):
        task = load_task(reference)
        assert isinstance(task, Hopper)
        assert task.reference == "hopper"


@pytest.mark.parametrize("name", ["hopper", "hoper", "Hopper"])
@pytest.mark.parametrize("use", [load_task, find_foreign, trusted_policy])
def test_a_policy_in_place_of_a_task_is_refused_with_the_nearest_task(use, name):
    match = f"^pretrained:{name} is a policy, not a task; did you mean 'hopper'\\?$"
    with pytest.raises(UserError, match=match):
        use(f"pretrained:{name}")


def test_a_policy_of_no_near_name_is_refused_with_the_tasks():
    with pytest.raises(UserError, match="pretrained:zz is a policy, not a task; allowed: ant, "):
        load_task("pretrained:zz")


def test_a_misspelt_task_has_a_suggestion():
    with pytest.raises(UserError, match="unknown task 'hoper'; did you mean 'hopper'"):
        load_task("hoper")


def test_a_file_is_found_from_any_folder_and_imported_once(monkeypatch, tmp_path):
    monkeypatch.chdir(SLIDER.parent)
    task = load_task("slider.py")
    assert (task.name, task.reference) == ("slider", str(SLIDER))
    monkeypatch.chdir(tmp_path)
    assert type(load_task(task.reference)) is type(task)


def test_a_task_object_is_itself():
    task = load_task("hopper")
    assert load_task(task) is task
    with pytest.raises(UserError, match="too late"):
        load_task(task, contact_forces=True)


def test_ids_follow_the_names():
    ids = gymnasium_ids()
    assert ids["sim2real/HalfCheetah-v0"] == "half_cheetah"
    assert ids["sim2real/Walker2d-v0"] == "walker2d"
    assert list(ids.values()) == task_names()


@pytest.mark.parametrize(
    "trusted",
    [TASKS.trusted, METHOD_CLASSES.trusted, KINDS.trusted],
    ids=["task", "method", "kind"],
)
def test_a_file_named_like_the_library_needs_trust(trusted, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("sim2real.py", "sim2real.mine.py"):
        Path(name).write_text("raise SystemExit\n")
        with pytest.raises(UserError, match="is not part of sim2real"):
            trusted(f"{name}:Robot", "config.yaml")
        with pytest.raises(UserError, match="is not part of sim2real"):
            trusted(name, "config.yaml")


@pytest.mark.parametrize(
    ("registry", "reference", "match"),
    [
        (TASKS, "hoper", "unknown task 'hoper'; did you mean 'hopper'"),
        (METHOD_CLASSES, "fine_tun", "unknown method 'fine_tun'; did you mean 'fine_tune'"),
        (KINDS, "nowhere", "unknown stage 'nowhere'; allowed: none"),
    ],
)
def test_a_name_that_is_not_there_is_unknown_to_each_registry(registry, reference, match):
    for find in (registry.find, lambda one: registry.trusted(one, "config.yaml")):
        with pytest.raises(UserError, match=match):
            find(reference)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("hoper", "unknown task 'hoper'; did you mean 'hopper'"),
        ("nowhere/robot.py", "robot.py does not exist"),
        ("nowhere.at.all:Robot", "No module named"),
        ("sim2real.envs.hopper:Hoper", "did you mean 'Hopper'"),
        (f"{SLIDER}:Slidr", r"unknown task class in slider\.py 'Slidr'; did you mean 'Slider'"),
    ],
)
def test_unknown_references_are_refused(reference, message):
    with pytest.raises(UserError, match=message):
        load_task(reference)


def test_unknown_options_are_refused():
    with pytest.raises(UserError, match=r"unknown option of task 'Ant' 'contact_force'; did you"):
        load_task("ant", contact_force=True)
    with pytest.raises(UserError, match="allowed: none"):
        load_task("hopper", wings=2)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1\n", "must define one Task, it defines none"),
        (SLIDER.read_text() + "\nclass Second(Slider): ...\n", "it defines Slider, Second"),
    ],
)
def test_a_file_must_define_one_task(source, message, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(source)
    with pytest.raises(UserError, match=message):
        load_task(str(path))


def test_a_missing_or_broken_model_is_reported(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(SLIDER.read_text())
    with pytest.raises(UserError, match=r"mine\.xml does not exist"):
        load_task(str(path)).compile()
    (tmp_path / "mine.xml").write_text("<mujoco><worldbody><bdy/></worldbody></mujoco>")
    with pytest.raises(UserError, match=r"mine\.xml is not valid.*bdy") as caught:
        load_task(str(path)).compile()
    assert "\n" not in str(caught.value)
