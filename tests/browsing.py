"""A headless Chromium, and TensorBoard for it to look at."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
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


@contextmanager
def open_browser(profile: Path) -> Iterator[Any]:
    """A browser that keeps its files in the folder `profile`."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(BROWSER)
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options, webdriver.ChromeService(str(DRIVER)))
    try:
        yield driver
    finally:
        driver.quit()


@contextmanager
def serve_tensorboard(folder: Path) -> Iterator[str]:
    """The address at which TensorBoard serves the runs in `folder`."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder)]
    command += ["--host", "127.0.0.1", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            address = ""
            for line in process.stderr:
                if found := re.search(r"http://127\.0\.0\.1:\d+/", line):
                    address = found[0]
                    break
            assert address
            yield address
        finally:
            process.terminate()


def elements(browser: Any, selector: str) -> list[Any]:
    """Elements that match, inside web components too."""
    return list(browser.execute_script(WALK, selector))


def wait_for(what: Callable[[], Any]) -> Any:
    """The first true value of `what()`."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(0.5)
    raise AssertionError("waited in vain")
