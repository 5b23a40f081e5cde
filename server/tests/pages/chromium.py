"""Headless Chromium, for the tests of the page and of the reports, and for the benchmark of the page.

A test module takes the fixture in with `pytest_plugins = ("chromium",)`; it is a module's, so that no browser runs on beside
other tests.  PYTEST_DONT_REWRITE: it is imported by its name too.
"""

import os
import shutil
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, NoReturn

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

CHROMIUM: Final = "/usr/bin/chromium"
#: As root, and silent towards the network.
CHROMIUM_OPTIONS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def not_here(reason: str) -> NoReturn:
    """Skip; where everything should be there, fail."""
    if os.environ.get("CI"):
        pytest.fail(f"{reason}, and CI is set", pytrace=False)
    pytest.skip(reason)


@contextmanager
def open_chromium() -> "Iterator[Browser]":
    """Run a browser; needs playwright."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        options = list(CHROMIUM_OPTIONS)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    if shutil.which(CHROMIUM) is None:
        not_here(f"there is no {CHROMIUM}")
    if find_spec("playwright") is None:
        not_here("playwright is not installed")
    with open_chromium() as running:
        yield running
