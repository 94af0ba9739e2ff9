"""How long to wait before a call is tried again: what the server asks for, or a growing guess."""

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

LONGEST_WAIT_S = 600.0  # a server that asks for more is taken as down


@dataclass(frozen=True)
class Backoff:
    """Exponential waits with full jitter, so that clients do not come back all at once.

    Source: Brooker (2015), "Exponential backoff and jitter", AWS Architecture Blog.
    """

    first_s: float = 0.25
    factor: float = 2.0
    longest_s: float = 30.0

    def wait_s(self, n_failed: int, rng: random.Random) -> float:
        """Seconds before the next try after `n_failed` failed ones (at least one)."""
        ceiling = min(self.longest_s, self.first_s * self.factor ** min(n_failed - 1, 60))
        return rng.uniform(0.1, 1.0) * ceiling


def retry_after_s(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """The seconds that a server asks to wait; None when it says nothing that can be read.

    Args:
        headers: Of the answer, with case-insensitive names; `retry-after-ms` goes before
            `Retry-After`, which is seconds or a date (RFC 9110, section 10.2.3).
        now: Unix seconds; the clock's when None.
    """
    for name, unit in (("retry-after-ms", 1e-3), ("Retry-After", 1.0)):
        text = headers.get(name, "").strip()
        if text.replace(".", "", 1).isdigit() and text.isascii():
            return float(text) * unit
    try:
        date = parsedate_to_datetime(headers.get("Retry-After", ""))
        return max(0.0, date.timestamp() - (time.time() if now is None else now))
    except (ValueError, OverflowError):
        return None
