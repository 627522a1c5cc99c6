"""Take the screenshots of the documentation: `python tests/screenshots.py`.

It needs Debian's chromium and chromium-driver. A cartpole is trained for TensorBoard, which takes
two minutes; the report is that of docs/results/demo.json.
"""

from __future__ import annotations

import io
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from browsing import elements, open_browser, serve_tensorboard, wait_for
from PIL import Image

from sim2real.learning.pretrain import pretrain
from sim2real.studies.report.report import write_report

DOCS = Path(__file__).parents[1] / "docs"
SIZE = (1400, 1500)
"""Width and height of a screenshot in pixels."""
COLORS = 128


def main() -> None:
    with tempfile.TemporaryDirectory() as name, open_browser(Path(name, "profile")) as browser:
        folder = Path(name)
        train(folder / "runs" / "cartpole")
        with serve_tensorboard(folder / "runs") as address:
            save(browser, address, "tensorboard.png", "card-view")
        write_report(folder / "report", json.loads((DOCS / "results" / "demo.json").read_text()))
        save(browser, (folder / "report" / "index.html").as_uri(), "report.png", "svg")


def train(run: Path) -> None:
    """A run with a curve in source and target, and an animation of both."""
    pretrain("cartpole", steps=200_000, out=run, target="hard", curve=20, progress=False)


def save(browser: Any, address: str, name: str, awaited: str) -> None:
    """Save what the browser shows at `address` as docs/images/`name`."""
    browser.set_window_size(*SIZE)
    browser.get(address)
    wait_for(lambda: elements(browser, awaited))
    for button in elements(browser, "[aria-label='Close side pane']"):
        button.click()
    time.sleep(5.0)  # charts are drawn after their cards
    with Image.open(io.BytesIO(browser.get_screenshot_as_png())) as shot:
        shot.convert("RGB").quantize(COLORS).save(DOCS / "images" / name, optimize=True)


if __name__ == "__main__":
    main()
