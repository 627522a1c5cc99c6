"""A person's view: TensorBoard's curves and animated rollout, and the report, in a browser."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import measured
import pytest
from browsing import BROWSER, DRIVER, elements, open_browser, serve_tensorboard, wait_for
from PIL import Image

from sim2real.learning.pretrain import pretrain
from sim2real.studies.report.report import write_report

pytestmark = pytest.mark.skipif(
    not (BROWSER and DRIVER), reason="needs Debian's chromium and chromium-driver"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with open_browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("browser") / "run"
    pretrain(
        "cartpole",
        steps=4096,
        out=path,
        target="hard",
        pictures_every=2048,
        progress=False,
        curve=1,
        curve_episodes=2,
    )
    return path


@pytest.fixture(scope="module")
def tensorboard(run: Path) -> Iterator[str]:
    """The address at which TensorBoard serves the run."""
    with serve_tensorboard(run) as address:
        yield address


GROUPS = """
return Array.from(document.querySelectorAll('.card-group'), group => [
  group.querySelector('.group-title').textContent,
  group.querySelector('[data-mat-icon-name=expand_less_24px]') !== null,
  Array.from(group.querySelectorAll('card-view'), card => card.innerText.replace('\\n', '')),
]);
"""


def test_first_page_is_a_handful_of_cards(browser: Any, tensorboard: str) -> None:
    browser.get("about:blank")
    browser.get(tensorboard)
    wait_for(lambda: elements(browser, "card-view"))
    titles, is_open, cards = zip(*browser.execute_script(GROUPS), strict=True)
    assert titles == ("rollout", "source", "target", "time", "train", "worlds")
    assert is_open == (True, True, False, False, False, False)
    assert sum(map(len, cards)) <= 12
    assert not any(cards[2:])
    for name in ("animation", "ep_rew_mean", "gap", "reward/upright"):
        assert any(card.startswith(f"rollout/{name}") for card in cards[0]), name


def test_curves(browser: Any, tensorboard: str) -> None:
    browser.get("about:blank")
    browser.get(f"{tensorboard}#scalars")
    wait_for(lambda: elements(browser, "tf-scalar-card"))
    drawn = wait_for(lambda: [element.text for element in elements(browser, "tf-card-heading")])
    assert any("ep_rew_mean" in heading for heading in drawn)
    assert any("reward/upright" in heading for heading in drawn)
    assert elements(browser, "vz-line-chart2")


def test_rollout_is_animated(browser: Any, tensorboard: str) -> None:
    browser.get("about:blank")
    browser.get(f"{tensorboard}#images")
    source = wait_for(
        lambda: [
            address
            for image in elements(browser, "img")
            if "individualImage" in (address := image.get_attribute("src") or "")
        ]
    )[0]
    script = """
    const done = arguments[1];
    fetch(arguments[0]).then(r => r.arrayBuffer()).then(b => done(
      btoa(Array.from(new Uint8Array(b), c => String.fromCharCode(c)).join(''))));
    """
    data = base64.b64decode(browser.execute_async_script(script, source))
    assert data.startswith(b"GIF89a")
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.n_frames > 10
        assert picture.width > picture.height  # source and target side by side


def test_report_opens_from_disk(browser: Any, tmp_path: Path) -> None:
    """One page without any other file: curves, table and words, nothing cut off at the side."""
    write_report(tmp_path, measured.report(measured.results(), name="demo"))
    browser.get((tmp_path / "index.html").as_uri())
    text = browser.find_element("tag name", "body").text
    assert "demo" in browser.title
    assert "from scratch" in text
    assert "half_cheetah" in text
    drawing = browser.find_element("tag name", "svg")
    assert drawing.size["width"] > 300
    assert drawing.size["height"] > 150
    width, window = browser.execute_script(
        "return [document.documentElement.scrollWidth, window.innerWidth]"
    )
    assert width <= window
    loaded = browser.execute_script("return performance.getEntriesByType('resource').length")
    assert loaded == 0


LABELS = """
return Array.from(document.querySelectorAll('figure svg text'), text => {
  const svg = text.closest('svg');
  return parseFloat(getComputedStyle(text).fontSize) * svg.getScreenCTM().a;
});
"""


def test_figures_are_legible_on_a_telephone(browser: Any, tmp_path: Path) -> None:
    """Figures are wider than the screen and scroll by themselves; the page does not."""
    write_report(tmp_path, measured.report(measured.results(), name="demo"))
    screen = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    try:
        browser.get((tmp_path / "index.html").as_uri())
        sizes = browser.execute_script(LABELS)
        width = browser.execute_script("return document.documentElement.scrollWidth")
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert min(sizes) >= 10.5  # px
    assert width <= 400
