from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import pytest

from sim2real import cli
from sim2real.transfer.conformance import check_method
from sim2real.transfer.find import find_method
from sim2real.transfer.method import LearnerMethod
from sim2real.transfer.methods import METHODS

pytestmark = pytest.mark.usefixtures("short_cartpole")
SEARCH = Path(__file__).parent / "methods" / "context_search.py"
SHIPPED = [name for name in METHODS if not issubclass(find_method(name), LearnerMethod)]
"""Methods that are no single learner, as tests/conformance runs those."""
OWN_TESTS = ["identify", "universal"]
"""Their options need more than a name: see tests/transfer/methods."""


@pytest.mark.parametrize(
    "reference",
    [
        pytest.param("freeze", marks=pytest.mark.slow),  # fast: the command line below
        pytest.param("align", marks=pytest.mark.slow),  # fits an ensemble of models each time
        *(name for name in SHIPPED if name not in (*OWN_TESTS, "align")),
    ],
)
def test_a_sound_method_passes(reference: str) -> None:
    results = list(check_method(reference, budget=150))
    assert len(results) == 13
    assert [one for one in results if not one.passed] == []


@pytest.mark.parametrize(
    ("old", "new", "check", "message"),
    [
        (
            "learner.algorithm.policy.set_training_mode(False)",
            "learner.algorithm.policy.action_net.bias.data.fill_(np.random.default_rng().normal())",
            "ppo: repeats",
            "other weights",
        ),
        ("adapt(self, source: Run", "fit(self, source: Run", "is described", "has no adapt"),
        ("record: int = 40", "record: int = 151", "ppo: adapts", "exceed|allowed"),
        (
            'log = work.once("record", lambda: target.record(source.policy, self.record))',
            "logs: list[Log] = []\n        "
            'work.once("record", lambda: logs.append(target.record(source.policy, self.record)))\n'
            "        log = logs[0]",
            "ppo: resumes",
            "IndexError",
        ),
        ("return learner.algorithm.policy", "return None", "ppo: adapts", "NoneType"),
    ],
    ids=["generator", "adapt", "budget", "phase", "policy"],
)
def test_a_fault_is_found(old: str, new: str, check: str, message: str, tmp_path: Path) -> None:
    code = SEARCH.read_text()
    assert old in code
    (tmp_path / "mine.py").write_text(code.replace(old, new))
    results = check_method(str(tmp_path / "mine.py"), budget=150)
    failed = next(one for one in results if not one.passed)
    assert failed.name.startswith(check)

    assert re.search(message, failed.message)


def test_the_command_line_checks_a_method(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", str(SEARCH), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["passed"]
    assert len(result["checks"]) == 13
    assert {one["name"] for one in result["checks"]} >= {"ppo: resumes", "td3: acts"}


@pytest.mark.parametrize(  # those of PPO, and of all algorithms
    "checks", [5, pytest.param(13, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(("example", "options"), [(0, {"steps": 96}), (1, {})])
def test_the_examples_of_the_documentation_pass(
    example: int, options: dict[str, int], checks: int, tmp_path: Path
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "methods" / "index.md").read_text()
    code = re.findall(r"```python\n(from typing.*?)```", page, re.DOTALL)[example]
    (tmp_path / "mine.py").write_text(code)
    results = list(itertools.islice(check_method(str(tmp_path / "mine.py"), 150, options), checks))
    assert len(results) == checks
    assert [one for one in results if not one.passed] == []
