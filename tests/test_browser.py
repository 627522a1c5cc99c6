"""A person's view: TensorBoard's curves and animated rollout, and the report, in a browser."""

from __future__ import annotations

import base64
import io
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import measured
import pytest
from PIL import Image

from sim2real.learning.pretrain import pretrain
from sim2real.studies.report.report import write_report

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (BROWSER and DRIVER), reason="needs Debian's chromium and chromium-driver"
)
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1400,1600",
]
PATIENCE = 60.0  # s


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(BROWSER)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options, webdriver.ChromeService(str(DRIVER)))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("browser") / "run"
    pretrain("cartpole", steps=4096, out=path, target="hard", pictures_every=2048, progress=False)
    return path


@pytest.fixture(scope="module")
def tensorboard(run: Path) -> Iterator[str]:
    """The address at which TensorBoard serves the run."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(run)]
    command += ["--host", "127.0.0.1", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        address = ""
        for line in process.stderr:
            if found := re.search(r"http://127\.0\.0\.1:\d+/", line):
                address = found[0]
                break
        assert address
        yield address
        process.terminate()


WALK = """
const found = [];
(function walk(root) {
  for (const node of root.querySelectorAll('*')) {
    if (node.matches(arguments[1])) found.push(node);
    if (node.shadowRoot) walk(node.shadowRoot, arguments[1]);
  }
})(document, arguments[0]);
return found;
"""


def elements(browser: Any, selector: str) -> list[Any]:
    """Elements that match, inside web components too."""
    return list(browser.execute_script(WALK, selector))


def wait_for(what: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(0.5)
    raise AssertionError("waited in vain")


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
