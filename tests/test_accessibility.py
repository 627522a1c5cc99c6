"""The pages of the reports for everyone: axe finds nothing serious, light, dark, on a telephone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import measured
import pytest
from browsing import BROWSER, DRIVER, open_browser

from sim2real.studies.report.report import write_report
from sim2real.studies.report.runs_page import write_runs
from sim2real.studies.report.transfer_page import write_transfer

axe = pytest.importorskip("axe_core_python.base", reason="needs axe-core-python")
pytestmark = pytest.mark.skipif(
    not (BROWSER and DRIVER), reason="needs Debian's chromium and chromium-driver"
)
GRAVE = {"serious", "critical"}
RUN = "const done = arguments[0]; axe.run(document, {resultTypes: ['violations']}).then(done);"
WORDS = {"about": "About it.", "parameters": ["body_mass × 1.4"]}
MADE = {"command": "sim2real transfer a", "config": "task: hopper\n", "versions": {"torch": "2"}}


def interval(value: float, **more: Any) -> dict[str, Any]:
    found = {"value": value, "low": value - 2.0, "high": value + 1.0, "values": [value]}
    return found | {"about": "this policy", "why": ""} | more


def transfer() -> dict[str, Any]:
    """The data of the report of a transfer, with a film and a contract that differs."""
    returns = {"before": interval(20.0), "after": interval(60.0), "difference": interval(40.0)}
    used = {"steps": 900, "episodes": 3, "resets": 4, "falls": 2, "seconds": 18.0}
    quality = {"jitter": 0.1, "energy": 20.0}
    return {
        "task": "hopper",
        "method": "fine_tune",
        "budget": 1000,
        "seed": 0,
        "source_name": "randomized",
        "outcome": {
            "domain": "hard",
            "episodes": 20,
            "zero_shot": returns["before"],
            "after": returns["after"],
            "difference": returns["difference"],
            "gap_closed": None,
            "source": {"domain": "randomized", **returns},
            "quality": {"zero_shot": quality, "after": quality},
            "used": used,
        },
        "curve": [{"steps": at, "value": at / 20, "low": 0, "high": at} for at in (0, 400, 900)],
        "ledger": {"source_steps": 0, "privileged": True},
        "choice": {"reason": "it is small"},
        "contract": [{"item": "rate", "source": "50 Hz", "target": "100 Hz"}],
        "domains": {"randomized": WORDS, "hard": WORDS},
        "films": ["before-after.gif", "fall.mp4"],
        "made": MADE,
    }


def runs() -> dict[str, Any]:
    found = {"return": interval(20.0), "difference": None, "failure_rate": 0.5}
    other = found | {"difference": interval(3.0, p=0.1, verdict="undecided")}
    return {
        "task": "hopper",
        "runs": ["a", "b"],
        "episodes": 20,
        "seed": 0,
        "returns": {"hard": {"a": found, "b": other}},
        "differs": {"config.seed": {"a": 0, "b": None}},
        "domains": {"hard": WORDS},
    }


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    write_report(folder / "study", measured.report(measured.results()))
    return {
        "study": folder / "study" / "index.html",
        "transfer": write_transfer(folder / "transfer", transfer()),
        "runs": write_runs(folder / "runs", runs()),
    }


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with open_browser(tmp_path_factory.mktemp("profile")) as browser:
        browser.set_script_timeout(300)
        yield browser


def show(browser: Any, page: Path, scheme: str, width: int) -> None:
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    browser.get(page.as_uri())


@pytest.mark.parametrize(("scheme", "width"), [("light", 390), ("dark", 1300)])
@pytest.mark.parametrize("name", ["study", "transfer", "runs"])
def test_axe_finds_nothing_serious(
    browser: Any, pages: dict[str, Path], name: str, scheme: str, width: int
) -> None:
    show(browser, pages[name], scheme, width)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    browser.execute_script(axe.AXE_SCRIPT)
    found = browser.execute_async_script(RUN)["violations"]
    grave = [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in GRAVE]
    assert grave == []


def test_dark_is_dark(browser: Any, pages: dict[str, Path]) -> None:
    script = "return getComputedStyle(document.body).backgroundColor"
    colours = []
    for scheme in ("light", "dark"):
        show(browser, pages["transfer"], scheme, 1300)
        colours.append(browser.execute_script(script))
    assert colours == ["rgb(255, 255, 255)", "rgb(22, 25, 29)"]
