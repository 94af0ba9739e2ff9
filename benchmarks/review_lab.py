"""Drives the real review page: a project, the real server, a real Chromium, and what was stored.

Shared by the browser tests and by the two benchmarks of the review page.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, Playwright

FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


def find_chromium() -> str | None:
    """Path of a Chromium: $CHROMIUM, Debian's, or (empty string) Playwright's own."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if found:
        return found
    cache = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH", Path.home() / ".cache/ms-playwright"))
    return "" if any(cache.glob("chromium*")) else None


def launch(playwright: Playwright) -> Browser:
    """A headless Chromium."""
    return playwright.chromium.launch(executable_path=find_chromium() or None, args=FLAGS)
