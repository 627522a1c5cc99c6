"""The report of an identification, as a person sees it in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from browsing import BROWSER, DRIVER, open_browser

from sim2real.identification.result import Identification

pytestmark = pytest.mark.skipif(
    not (BROWSER and DRIVER), reason="needs Debian's chromium and chromium-driver"
)
WIDTHS = "return [document.documentElement.scrollWidth, window.innerWidth]"
LOADED = "return performance.getEntriesByType('resource').length"
LABELS = """
return Array.from(document.querySelectorAll('figure svg text'), text => {
  const svg = text.closest('svg');
  return parseFloat(getComputedStyle(text).fontSize) * svg.getScreenCTM().a;
});
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with open_browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, noisy: Identification) -> str:
    """The address of the page."""
    path = tmp_path_factory.mktemp("report") / "identification.html"
    path.write_text(noisy.page())
    return path.as_uri()


def test_the_page_shows_all_that_was_found(browser: Any, page: str, noisy: Identification) -> None:
    browser.get(page)
    assert "cartpole" in browser.title
    text = browser.find_element("tag name", "body").text
    for row in noisy.table:
        assert row.name in text
    for part in noisy.evidence.parts:
        assert part.name in text
    assert "determine 4 of the 4 unknowns" in text
    figures = browser.find_elements("css selector", "figure svg")
    assert len(figures) == len(noisy.evidence.names) + 2
    assert all(one.size["width"] > 200 and one.size["height"] > 80 for one in figures)
    strips = browser.find_elements("css selector", "svg.strip")
    assert len({one.location["x"] for one in strips}) == 1  # below each other
    width, window = browser.execute_script(WIDTHS)
    assert width <= window
    assert browser.execute_script(LOADED) == 0


def test_the_page_is_legible_on_a_telephone(browser: Any, page: str) -> None:
    """Tables and wide figures scroll by themselves; the page does not."""
    screen = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    try:
        browser.get(page)
        sizes, (width, _) = browser.execute_script(LABELS), browser.execute_script(WIDTHS)
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert width <= 400
    assert min(sizes) >= 8.5  # px
