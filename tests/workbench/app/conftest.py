"""A real Chromium for the tests of the pages."""

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright

LAB = Path(__file__).parents[3] / "benchmarks" / "review_lab.py"


def _lab() -> ModuleType:
    # Tests and benchmarks drive the page with the same code, so that they measure the same.
    spec = importlib.util.spec_from_file_location("review_lab", LAB)
    if spec is None or spec.loader is None:
        raise ImportError(f"{LAB} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules["review_lab"] = module
    spec.loader.exec_module(module)
    return module


review_lab = _lab()


@pytest.fixture(scope="module")  # its event loop must not outlive the browser's tests
def playwright() -> Iterator[Playwright]:
    """Playwright, with a browser to be found; without one the tests skip, in CI they fail."""
    if review_lab.find_chromium() is None:
        if os.environ.get("CI"):
            pytest.fail("no Chromium: install Debian's chromium, or run `playwright install`")
        pytest.skip("no Chromium on this machine: install chromium, or run `playwright install`")
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def chromium(playwright: Playwright) -> Iterator[Browser]:
    """One browser for all tests of a file; each test opens contexts of its own."""
    browser = review_lab.launch(playwright)
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core; without npm the tests skip, in CI they fail."""
    source = review_lab.axe_script()
    if source is None:
        if os.environ.get("CI"):
            pytest.fail("axe-core could not be fetched: npm must be there and reach its registry")
        pytest.skip("axe-core could not be fetched with npm")
    return source
