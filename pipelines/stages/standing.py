"""How far a run of a stage is, told a few times a second."""

import time
from collections.abc import Callable
from dataclasses import dataclass

_TICK_S = 0.2  # between two reports


@dataclass(frozen=True)
class Standing:
    """How far a run is."""

    who: str  # the judge, the model or the stage
    n_wanted: int
    n_done: int  # or failed, in this run and before
    n_before: int  # of them, before
    n_failed: int  # in this run
    usd: float  # in this run
    seconds: float


def now_and_then(
    on_standing: Callable[[Standing], None] | None, standing: Callable[[], Standing]
) -> Callable[[], None]:
    """Tells how far a run is whenever it is called, but a few times a second at most."""
    last_told = 0.0

    def tell() -> None:
        nonlocal last_told
        now = time.monotonic()
        if on_standing is not None and now - last_told >= _TICK_S:
            last_told = now
            on_standing(standing())

    return tell
