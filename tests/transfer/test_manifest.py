from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from sim2real.errors import UserError
from sim2real.runs.contract import Contract, compare, require_fit
from sim2real.task import ObservationTerm
from sim2real.transfer.manifest import Manifest, TensorRow

POSITION, VELOCITY = ObservationTerm("position", 2, "m"), ObservationTerm("velocity", 3, "m/s")
CONTRACT = Contract((POSITION, VELOCITY), (-1.0, -1.0), (1.0, 1.0), 0.05)


def differing(**changes: object) -> dict[str, tuple[str, str, bool]]:
    lines = compare(CONTRACT, replace(CONTRACT, **changes))  # type: ignore[arg-type]
    return {line.item: (line.source, line.target, line.fits) for line in lines if not line.same}


def test_the_same_contract_fits() -> None:
    lines = compare(CONTRACT, CONTRACT)
    require_fit(CONTRACT, replace(CONTRACT, control_dt=0.1))
    assert [line.item for line in lines] == [
        "observation position",
        "observation velocity",
        "action space",
        "control step",
    ]
    assert all(line.same and line.fits for line in lines)


def test_each_difference_is_named() -> None:
    bigger = replace(VELOCITY, size=4)
    assert differing(observations=(POSITION, bigger)) == {
        "observation velocity": ("(3,) m/s", "(4,) m/s", False)
    }
    assert differing(observations=(POSITION,))["observation velocity"][1] == "absent"
    assert list(differing(observations=(VELOCITY, POSITION))) == ["observation order"]
    assert list(differing(action_high=(1.0, 2.0))) == ["action space"]
    assert differing(control_dt=0.1) == {"control step": ("0.05 s", "0.1 s", True)}


def test_what_does_not_fit_is_refused_with_its_terms() -> None:
    target = replace(CONTRACT, observations=(POSITION, replace(VELOCITY, size=4)))
    message = r"observation velocity is \(3,\) m/s in the source, \(4,\) m/s in the target"
    with pytest.raises(UserError, match=message):
        require_fit(CONTRACT, target, accept=True)


def test_manifest_is_printed_and_is_json() -> None:
    rows = (
        TensorRow("actor.0.weight", (4, 3), "frozen"),
        TensorRow("actor.0.bias", (4,), "frozen"),
        TensorRow("actor.2.weight", (2, 4), "copied"),
        TensorRow("log_std", (2,), "adapted"),
    )
    manifest = Manifest("freeze", compare(CONTRACT, CONTRACT), rows)
    out = io.StringIO()
    manifest.print(Console(file=out, width=400))
    text = out.getvalue()
    assert "weight [4, 3], bias [4]" in text
    assert all(
        word in text for word in ("frozen", "copied", "adapted", "control step", "no difference")
    )
    assert "16 numbers are frozen, 10 are not" in text
    assert manifest.frozen == ("actor.0.weight", "actor.0.bias")
    data = json.loads(json.dumps(manifest.to_json()))
    assert data["tensors"][3] == {"tensor": "log_std", "shape": [2], "action": "adapted"}


def test_a_difference_is_shown_side_by_side() -> None:
    out = io.StringIO()
    lines = compare(CONTRACT, replace(CONTRACT, control_dt=0.1))
    Manifest("scratch", lines, ()).print(Console(file=out, width=120))
    row = next(line for line in out.getvalue().splitlines() if "control step" in line)
    assert [part.strip() for part in row.strip("│").split("│")] == [
        "control step",
        "0.05 s",
        "0.1 s",
        "differs",
    ]


def test_a_tensor_of_several_names_is_listed_once() -> None:
    from sim2real.runs.load import load_run
    from sim2real.transfer.method import rows_of

    algorithm = load_run("pretrained:cartpole").algorithm
    rows = rows_of(algorithm, {})
    names = [row["tensor"] for row in Manifest("m", (), rows).to_json()["tensors"]]
    tensors = algorithm.policy.state_dict(keep_vars=True)
    assert len({id(tensors[name]) for name in names}) == len(names) == 16
    assert {row.tensor for row in rows} == set(tensors)  # frozen names are all of them
    assert sum("running_mean" in name for name in names) == 1
