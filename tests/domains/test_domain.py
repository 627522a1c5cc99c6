"""Domains as data: files, defaults, errors."""

from pathlib import Path

import pytest

from sim2real.config import parse
from sim2real.domains import Domain, dump_domains, load_domain, load_domains
from sim2real.errors import UserError
from sim2real.registry import load_task, task_names

SLIDER = str(Path(__file__).parent.parent / "robots" / "slider.py")


def write(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("task", task_names())
def test_domains_survive_a_round_trip(task, tmp_path):
    file = load_task(task).file.with_suffix(".yaml")
    domains = load_domains(file)
    assert load_domains(write(tmp_path, dump_domains(domains))) == domains


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"dynamics": [{"field": "body_mass", "scael": 2.0}]}, "did you mean 'scale'"),
        ({"dynamics": [{"field": "body_mass", "scale": 1e300}]}, r"1e\+300 is absurd"),
        ({"sensing": [{"noise": "much"}]}, "expected a number, got 'much'"),
        ({"weather": 1}, "unknown key 'weather'"),
    ],
)
def test_a_domain_that_is_made_in_python_is_refused_in_one_line(wrong, message):
    with pytest.raises(UserError, match=message) as caught:
        Domain(**wrong)
    assert "\n" not in str(caught.value)


def test_none_is_nominal_and_empty():
    domain = load_domain(SLIDER)
    assert domain.name == "nominal"
    assert domain.describe() == []


def test_a_domain_is_found_beside_the_task_and_by_file():
    beside = load_domain(SLIDER, "heavy")
    assert beside.about == "Twice the mass."
    assert load_domain("hopper", f"{Path(SLIDER).with_suffix('.yaml')}:heavy") == beside


def test_constant_domains_are_known():
    assert load_domain(SLIDER, "heavy").is_constant
    assert not load_domain(SLIDER, "drawn").is_constant


def test_a_domain_describes_itself():
    assert load_domain(SLIDER, "drawn").describe() == [
        "body_mass × 0.5 to 2",
        "actuator delay 0 to 0.05 s, one draw for all",
        "actuator strength × 0.8 to 1.2",
        "sensor noise of place + 0 ± 0.1",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: {dynamcs: []}", "unknown key 'dynamcs'; did you mean 'dynamics'"),
        ("a: {dynamics: [{field: body_mas, scale: 1}]}", "did you mean 'body_mass'"),
        ("a: {dynamics: [{field: body_mass, scal: 1}]}", "did you mean 'scale'"),
        ("a: {dynamics: [{field: body_mass}]}", "exactly one of scale, add, set; got none"),
        ("a: {dynamics: [{field: body_mass, scale: 1, add: 1}]}", "got scale, add"),
        ("a: {dynamics: [{field: body_mass, scale: {uniform: [2, 1]}}]}", "inverted"),
        ("a: {dynamics: [{field: body_mass, scale: .nan}]}", "finite"),
        ("a: {actuation: [{delay: -0.1}]}", "delay must be at least 0, got -0.1"),
        ("a: {actuation: [{delay: 0.1, strength: 1.0}]}", "got delay, strength"),
        ("a: {actuation: [{strength: {normal: [1, 0.1]}}]}", "bounded"),
        ("a: {sensing: [{noise: 1.0, bias: 1.0}]}", "got bias, noise"),
        ("a: [1, 2]", "expected keys and values"),
        ("- a", "expected domains by name"),
        ("a: {", "not valid YAML"),
        ("a: !!python/object/apply:os.system ['true']", "not valid YAML"),
    ],
)
def test_bad_files_are_refused(text, message, tmp_path):
    with pytest.raises(UserError, match=message) as caught:
        load_domains(write(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_unknown_names_are_refused(tmp_path):
    with pytest.raises(UserError, match="unknown domain of task 'slider' 'heavi'; did you mean"):
        load_domain(SLIDER, "heavi")
    with pytest.raises(UserError, match="does not exist"):
        load_domain(SLIDER, f"{tmp_path}/none.yaml:a")
    with pytest.raises(UserError, match="unknown domain in"):
        load_domain(SLIDER, f"{Path(SLIDER).with_suffix('.yaml')}:nope")


def test_python_form_equals_yaml_form():
    domain = Domain(
        name="heavy", about="Twice the mass.", dynamics=[{"field": "body_mass", "scale": 2.0}]
    )
    assert domain == load_domain(SLIDER, "heavy")


def test_the_usual_settings_of_an_engine_stay_in_the_plain_data() -> None:
    domain = Domain(name="other", engine="drake")  # type: ignore[arg-type]
    assert domain.plain() == {"engine": {"name": "drake"}}
    assert parse(Domain, {**domain.plain(), "name": "other"}, "other") == domain
