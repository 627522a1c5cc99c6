"""Disturbances as data: what is accepted, said in words, and refused."""

from pathlib import Path

import pytest

from sim2real.config import parse
from sim2real.domains import Domain, load_domains
from sim2real.errors import UserError
from sim2real.simulation import Simulation

ROBOTS = Path(__file__).parent.parent / "robots"
BALL, SLIDER = str(ROBOTS / "ball.py"), str(ROBOTS / "slider.py")

FILE = """
shaken:
  about: Pushed about on rough, rising ground.
  disturbances:
    - {push: {uniform: [1.0, 2.0]}, of: [ball, moon], every: {uniform: [0.5, 1.0]}}
    - {force: 3.0, of: ball, direction: z, name: lift}
    - {slope: {uniform: [0.0, 0.1]}, direction: roll}
    - {torque: {uniform: [-1, 1]}, of: moon, direction: y}
    - {twist: 0.5, of: ball, every: 1.0}
    - {bumps: {uniform: [0.0, 0.08]}, wavelength: 1.0}
"""


def disturbed(**entry):
    return Domain(disturbances=[entry])


def test_they_are_read_from_a_file_and_said_in_words(tmp_path):
    (tmp_path / "mine.yaml").write_text(FILE)
    domain = load_domains(tmp_path / "mine.yaml")["shaken"]
    assert domain.describe() == [
        "horizontal push of ball, moon 1 to 2 N s every 0.5 to 1 s",
        "z force of ball 3 N",
        "roll slope 0 to 0.1 rad",
        "y torque of moon -1 to 1 N m",
        "horizontal twist of ball 0.5 N m s every 1 s",
        "bumps 0 to 0.08 m",
    ]
    assert not domain.is_constant
    assert parse(Domain, domain.plain() | {"name": "shaken"}, "again") == domain
    names = Simulation(BALL, domain, threads=1).context_names
    assert names == ("lift:ball", "torque.y:moon", "slope.roll", "bumps", "bumps:shape")


def test_what_varies_within_an_episode_does_not_make_episodes_differ():
    push = {"push": {"uniform": [1.0, 2.0]}, "of": "ball", "every": 0.5}
    assert disturbed(**push).is_constant
    assert not disturbed(slope={"uniform": [0.0, 0.1]}).is_constant


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({}, "exactly one of push, twist, force, torque, slope, bumps, residual; got"),
        ({"slope": 0.1, "bumps": 0.1}, "got slope, bumps"),
        ({"slop": 0.1}, "did you mean 'slope'"),
        ({"slope": 0.1, "of": "ball"}, "slope takes no 'of'; it takes slope, direction, name"),
        ({"slope": 0.1, "direction": "x"}, "a slope has the direction pitch or roll, got 'x'"),
        ({"slope": 2.0}, "within -1.5 to 1.5 rad, got 2 rad"),
        ({"bumps": -0.1}, "within 0 to 100 m, got -0.1 m"),
        ({"bumps": {"normal": [0.1, 0.1]}}, "within 0 to 100 m"),
        ({"bumps": 0.1, "wavelength": 0.0}, "at least 0.001"),
        ({"force": 1.0, "of": "ball"}, "a force needs a direction: x or y or z"),
        ({"force": 1.0, "direction": "x"}, "a force needs the bodies that it acts on"),
        ({"push": 1.0, "of": "ball"}, "interval greater than 0 s; got nothing"),
        ({"push": 1.0, "of": "ball", "every": -1.0}, "interval greater than 0 s; got -1"),
        ({"push": 1.0, "of": "ball", "every": {"normal": [3, 1]}}, "greater than 0 s; got 3 ± 1"),
    ],
)
def test_bad_entries_are_refused(entry, message):
    with pytest.raises(UserError, match=message):
        parse(Domain, {"disturbances": [entry]}, "here")


@pytest.mark.parametrize(
    ("task", "entry", "message"),
    [
        (BALL, {"force": 1.0, "of": "bal", "direction": "x"}, "unknown body 'bal'; did you mean"),
        (BALL, {"push": 1.0, "of": "sun", "every": 1.0}, "push.horizontal: unknown body 'sun'"),
        (BALL, {"push": 1.0, "of": "ball", "every": 0.01}, "shorter than a control step"),
        (BALL, {"push": 1.0, "of": "ball", "every": 4.0}, "as long as an episode"),
        (BALL, {"bumps": 0.1, "of": "flor"}, "unknown floor plane .* did you mean 'floor'"),
        (SLIDER, {"bumps": 0.1}, "'custom': bumps need one plane .* planes of the model: none"),
        (SLIDER, {"slope": 0.1}, "there is no gravity, so a slope has no effect"),
        ("swimmer", {"bumps": 0.1}, "one plane that the robot stands on"),
        ("inverted_double_pendulum", {"bumps": 0.1}, "one plane that the robot stands on"),
    ],
)
def test_what_does_not_fit_the_model_is_refused(task, entry, message):
    with pytest.raises(UserError, match=message):
        Simulation(task, disturbed(**entry), threads=1)


def test_two_of_a_kind_are_refused_where_they_would_fight():
    with pytest.raises(UserError, match="bumps are given twice"):
        Simulation(BALL, Domain(disturbances=[{"bumps": 0.1}, {"bumps": 0.2}]), threads=1)
    with pytest.raises(UserError, match=r"'slope.pitch' is drawn twice; give one of them a 'name'"):
        Simulation(BALL, Domain(disturbances=[{"slope": 0.1}, {"slope": 0.2}]), threads=1)
