"""What of a model and a domain Drake refuses or leaves out, and how a domain names the engine."""

from __future__ import annotations

import re
import sys
from importlib.metadata import version
from pathlib import Path

import mujoco
import pytest

from sim2real.config import parse
from sim2real.domains import Domain, load_domain
from sim2real.domains.domain import dump_domains, load_domains
from sim2real.domains.entries.engine import ENGINES, Drake
from sim2real.errors import UserError
from sim2real.evaluation.provenance import content
from sim2real.registry import load_task, task_names
from sim2real.simulation import Simulation
from sim2real.simulation.engines.mapping import misfits, unsupported
from sim2real.simulation.front_ends.foreign import check_foreign

ROOT = Path(__file__).resolve().parents[3]

BALL = '<body pos="0 0 1"><joint name="socket" type="ball"/><geom size="0.1"/></body>'
REFUSED = {
    "ball joints (socket)": f"<worldbody>{BALL}</worldbody>",
    "equality constraints (hold)": (
        '<worldbody><body name="b"><freejoint/><geom size="0.1"/></body></worldbody>'
        '<equality><weld name="hold" body1="b"/></equality>'
    ),
    "limits of tendons (rope)": (
        '<worldbody><body><joint name="j" axis="0 1 0"/><geom size="0.1"/></body></worldbody>'
        '<tendon><fixed name="rope" limited="true" range="0 1"><joint joint="j" coef="1"/></fixed>'
        "</tendon>"
    ),
    "contact pairs (special)": (
        '<worldbody><geom name="a" size="0.1"/><body><freejoint/><geom name="b" size="0.1"/></body>'
        '</worldbody><contact><pair name="special" geom1="a" geom2="b"/></contact>'
    ),
    "shapes of geoms (hills)": (
        '<asset><hfield name="h" nrow="3" ncol="3" size="1 1 1 1"/></asset><worldbody>'
        '<geom name="hills" type="hfield" hfield="h"/><body pos="0 0 5"><freejoint/>'
        '<geom size="0.1"/></body></worldbody>'
    ),
    "contacts of mocap bodies (hand)": (
        '<worldbody><body mocap="true"><geom name="hand" size="0.1"/></body>'
        '<body pos="0 0 5"><freejoint/><geom size="0.1"/></body></worldbody>'
    ),
    "armature of free joints (root)": (
        '<worldbody><body><joint name="root" type="free" armature="1"/><geom size="0.1"/></body>'
        "</worldbody>"
    ),
}


@pytest.mark.parametrize(("problem", "xml"), REFUSED.items(), ids=[*REFUSED])
def test_what_has_no_counterpart_is_named(problem: str, xml: str) -> None:
    model = mujoco.MjModel.from_xml_string(f"<mujoco>{xml}</mujoco>")
    assert problem in unsupported(model)


def test_a_domain_with_uneven_ground_is_refused() -> None:
    pytest.importorskip("pydrake")
    with pytest.raises(UserError, match=r"'custom': the engine drake has no .*shapes of geoms"):
        Simulation("ant", Domain(engine="drake", disturbances=[{"bumps": 0.05}]))


def test_every_shipped_task_has_a_counterpart() -> None:
    assert {name: unsupported(load_task(name).compile()) for name in task_names()} == {
        name: [] for name in task_names()
    }


def test_dry_friction_is_told_as_a_misfit() -> None:
    pytest.importorskip("pydrake")
    more = [{"field": "dof_frictionloss", "scale": 2.0}]
    with pytest.warns(UserWarning, match=r"no dry friction of joints \(arm\); no effect of dof_fr"):
        Simulation("furuta", Domain(engine="drake", dynamics=more))
    assert misfits(load_task("cartpole").compile()) == []


def test_a_domain_file_names_the_engine(tmp_path: Path) -> None:
    file = tmp_path / "engines.yaml"
    file.write_text(
        "there: {engine: drake}\n"
        "fine: {extends: there, engine: {name: drake, time_step: 0.0005}}\n"
        "here: {extends: there, engine: mujoco}\n"
    )
    domains = load_domains(file)
    assert domains["there"].engine == Drake(name="drake")
    assert domains["fine"].engine == Drake(name="drake", time_step=0.0005)
    assert domains["here"].engine is None
    assert "the engine drake, with steps of at most 0.002 s" in domains["there"].describe()
    file.write_text("there: {engine: bullet}\n")
    with pytest.raises(UserError, match=r"engine: must be one of mujoco, drake, warp, got .*bul"):
        load_domains(file)


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        ({"name": "warp", "devise": "cpu"}, r"engine\.warp\.devise: unknown key .*mean 'device'"),
        ({"name": "warp", "device": "tpu"}, r"must be auto, cpu, cuda or cuda:NUMBER, got 'tpu'"),
        ({"name": "drake", "time_step": 1}, r"engine\.drake\.time_step: must be at most 0\.1"),
    ],
)
def test_wrong_settings_are_named_with_their_engine(engine: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse(Domain, {"engine": engine}, "here")


@pytest.mark.parametrize("engine", ENGINES)
def test_any_domain_is_there_in_another_engine(engine: str) -> None:
    domain, own = load_domain("hopper", f"{engine}:hard"), load_domain("hopper", "hard")
    assert (domain.name, domain.engine) == (f"{engine}:hard", ENGINES[engine])
    assert domain.dynamics == own.dynamics
    with pytest.raises(UserError, match="'hart'"):
        load_domain("hopper", f"{engine}:hart")
    for name in (f"{engine}:", f"{engine}:drake:hard", f"{engine}:warp:hard"):
        with pytest.raises(UserError, match=f"names no domain in .*allowed: {engine}:NAME"):
            load_domain("hopper", name)


@pytest.mark.parametrize("engine", ["drake", "warp", {"name": "warp", "device": "cuda:1"}])
def test_a_saved_domain_keeps_its_engine(engine: object, tmp_path: Path) -> None:
    domain = Domain(name="there", engine=engine)  # type: ignore[arg-type]
    (tmp_path / "saved.yaml").write_text(dump_domains({"there": domain}))
    assert load_domains(tmp_path / "saved.yaml")["there"] == domain


def test_results_depend_on_the_version_of_the_engine() -> None:
    pytest.importorskip("pydrake")
    task = load_task("hopper")
    found = content(task, load_domain(task, "drake:nominal"))
    assert found["engine"] == version("drake")
    assert "engine" not in content(task, load_domain(task))


def test_a_foreign_environment_keeps_its_engine() -> None:
    with pytest.raises(UserError, match="engine"):
        check_foreign(Domain(engine="drake"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("engine", "package", "extra"), [("drake", "pydrake", "drake"), ("warp", "mujoco_warp", "gpu")]
)
def test_it_says_how_to_install_what_is_missing(
    engine: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [package, *(one for one in sys.modules if one.split(".")[0] == package)]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=rf"{package}: .*pip install 'sim2real\[{extra}\]'"):
        Simulation("cartpole", f"{engine}:nominal")


def test_nothing_imports_another_engine_by_itself() -> None:
    for path in (ROOT / "sim2real").rglob("*.py"):
        imports = re.search(
            r"^\s*(import|from) (pydrake|warp|mujoco_warp)\b", path.read_text(), re.M
        )
        assert not imports, path
