"""Domains that extend others, and domains with a model of their own."""

from pathlib import Path

import pytest

from sim2real.domains import Domain, dump_domains, load_domain, load_domains
from sim2real.errors import UserError
from sim2real.registry import load_task
from sim2real.simulation import Simulation

SLIDER = str(Path(__file__).parent.parent / "robots" / "slider.py")
MODEL = Path(SLIDER).with_suffix(".xml").read_text()


def write(folder, text, name="mine.yaml"):
    path = folder / name
    path.write_text(text)
    return path


def test_sections_follow_those_that_are_extended_and_other_keys_take_their_place(tmp_path):
    write(
        tmp_path,
        "base: {about: The base., model: a.xml, dynamics: [{field: body_mass, scale: 2}]}",
        "b.yaml",
    )
    path = write(
        tmp_path,
        """
        heavy:
          extends: b.yaml:base
          dynamics: [{field: dof_damping, add: 1}]
        both:
          extends: heavy
          about: Both.
          model: b.xml
          actuation: [{strength: 0.5}]
        """,
    )
    heavy, both = load_domains(path).values()
    assert [one.field for one in both.dynamics] == ["body_mass", "dof_damping"]
    assert heavy.about == ""
    assert heavy.model == str(tmp_path / "a.xml")
    assert both.model == str(tmp_path / "b.xml")
    assert both.about == "Both."
    # what a run keeps is the resolved domain
    assert load_domains(write(tmp_path, dump_domains({"both": both}), "c.yaml"))["both"] == both


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: {extends: b}\nb: {extends: c}\nc: {extends: a}", "extends itself: a -> b -> c -> a"),
        ("a: {extends: a}", "extends itself: a -> a"),
        ("a: {extends: heavi}\nheavy: {}", "unknown domain .* 'heavi'; did you mean 'heavy'"),
        ("a: {extends: 'none.yaml:a'}", "none.yaml does not exist"),
        ("a: {extends: [b, c]}", "extends one domain by its name"),
        ("a: {model: 3}", "model: must be text"),
    ],
)
def test_bad_extensions_are_refused(text, message, tmp_path):
    with pytest.raises(UserError, match=message):
        load_domains(write(tmp_path, text))


def test_everything_extends_nominal(tmp_path):
    path = write(tmp_path, "a: {extends: nominal, dynamics: [{field: body_mass, scale: 2}]}")
    assert len(load_domains(path)["a"].dynamics) == 1


def test_a_domain_may_have_a_model_of_its_own(tmp_path):
    write(tmp_path, MODEL.replace('mass="2"', 'mass="5"'), "other.xml")
    path = write(tmp_path, "other: {model: other.xml, dynamics: [{field: body_mass, scale: 2}]}")
    simulation = Simulation(SLIDER, f"{path}:other", threads=1)
    assert simulation.world_model(0).body_mass[1] == 10.0
    assert load_domain(SLIDER, f"{path}:other").describe()[0].startswith("the model /")
    assert load_task(SLIDER).compile().body_mass[1] == 2.0


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (MODEL.replace('"rail"', '"rial"'), r"its joints lack rail .*, and have besides rial"),
        (MODEL.replace('name="push"', 'name="pull"'), "its actuators lack push"),
        (MODEL.replace('type="slide"', 'type="hinge"'), r"lack rail \(slide\)"),
        (MODEL.replace("</mujoco>", ""), "is not valid"),
        (MODEL.replace('size=".1 .1 .1"', 'size="-1 0 0"'), "does not compile"),
        ("not XML", "is not valid"),
    ],
)
def test_a_model_that_the_task_does_not_fit_is_refused(model, message, tmp_path):
    path = write(tmp_path, model, "other.xml")
    with pytest.raises(UserError, match=message) as caught:
        Simulation(SLIDER, Domain(model=str(path)), threads=1)
    assert "\n" not in str(caught.value)


def test_a_model_that_is_not_there_is_reported():
    with pytest.raises(UserError, match=r"nowhere.xml does not exist"):
        Simulation(SLIDER, Domain(model="nowhere.xml"))
