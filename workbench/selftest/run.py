"""The whole self-test: many worlds in process, the gate on its lines, a handful through HTTP."""

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from scipy import stats

from pipelines.errors import BadInput
from workbench.selftest.coverage import ErrorRow, Row, run_scenario
from workbench.selftest.gates import gate_worlds, run_gates, run_interval
from workbench.selftest.live import LiveRow, live_worlds, run_live
from workbench.selftest.scenarios import scenarios

N_WORLDS, N_QUICK = 2000, 200
N_LIVE_QUICK = 1
_LEAST = 50  # worlds: with fewer, binomial error hides everything
_GATES, _INTERVAL = 1000, 2000  # where their seeds begin, apart from those of the scenarios
_LIVE_ALPHA = 0.001  # of a handful of intervals so many would have to miss
OnProgress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Report:
    """What the self-test found."""

    n_worlds: int
    seed: int
    rows: tuple[Row, ...]
    errors: tuple[ErrorRow, ...]
    live: tuple[LiveRow, ...]
    seconds: float
    cpu_seconds: float

    @property
    def short(self) -> tuple[Row, ...]:
        """Rows whose intervals hold the truth too rarely."""
        return tuple(row for row in self.rows if row.finding(len(self.rows)) == "short")

    @property
    def limits(self) -> tuple[Row, ...]:
        """Rows below 95% whose intervals are known to be approximate, and as good as is claimed."""
        return tuple(row for row in self.rows if row.finding(len(self.rows)) == "limit")

    @property
    def wide(self) -> tuple[Row, ...]:
        """Rows whose intervals hold it more often than they say: honest, and wider than need be."""
        return tuple(row for row in self.rows if row.finding(len(self.rows)) == "wide")

    @property
    def too_often(self) -> tuple[ErrorRow, ...]:
        """Tests and gates that err more often than they may."""
        return tuple(row for row in self.errors if row.exceeds(len(self.errors)))

    @property
    def live_holds(self) -> bool:
        """Whether no more live intervals miss than chance allows."""
        n_missed = sum(not row.holds for row in self.live)
        if not self.live:
            return True
        test = stats.binomtest(n_missed, len(self.live), 0.05, alternative="greater")
        return bool(test.pvalue >= _LIVE_ALPHA)

    @property
    def passed(self) -> bool:
        """Whether everything that is planted is found as often as is said."""
        return not self.short and not self.too_often and self.live_holds

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "passed": self.passed,
            "n_worlds": self.n_worlds,
            "seed": self.seed,
            "diagnoses": [
                {**asdict(row), "coverage": row.coverage, "finding": row.finding(len(self.rows))}
                for row in self.rows
            ],
            "errors": [
                {**asdict(row), "rate": row.rate, "exceeds": row.exceeds(len(self.errors))}
                for row in self.errors
            ],
            "live": [{**asdict(row), "holds": row.holds} for row in self.live],
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
        }


def run_selftest(
    n_worlds: int = N_WORLDS,
    seed: int = 0,
    *,
    n_live: int | None = None,
    n_jobs: int = 1,
    on_progress: OnProgress | None = None,
) -> Report:
    """Plant, audit, compare.

    Args:
        n_worlds: Worlds of each scenario, and rounds of each gate.
        seed: Every world has a seed of its own that follows from this one.
        n_live: Worlds through the real server and queue; all of the handful when None.
        n_jobs: Processes that share the work; the result is the same for any number.
        on_progress: Called with what was done last, and how many steps are done of how many.

    Raises:
        BadInput: Too few worlds to say anything.
    """
    if n_worlds < _LEAST:
        raise BadInput(f"{n_worlds} worlds say nothing about 95%; use at least {_LEAST}")
    start, cpu = time.monotonic(), time.process_time()
    steps = _steps()
    worlds = live_worlds()[:n_live]
    rows: list[Row] = []
    errors: list[ErrorRow] = []
    elsewhere = 0.0  # CPU seconds of other processes
    with _mapping(n_jobs) as mapped:
        results = mapped(partial(_step, n_worlds=n_worlds, seed=seed), range(len(steps)))
        for done, (found, rejected, used) in enumerate(results, 1):
            rows += found
            errors += rejected
            elsewhere += used if n_jobs > 1 else 0.0
            if on_progress is not None:
                on_progress(steps[done - 1], done, len(steps) + len(worlds))
    live: list[LiveRow] = []
    for number, world in enumerate(worlds):
        with tempfile.TemporaryDirectory(prefix="workbench-selftest-") as folder:
            live += run_live(world, Path(folder) / "project", seed + number)
        if on_progress is not None:
            on_progress(world.name, len(steps) + number + 1, len(steps) + len(worlds))
    return Report(
        n_worlds=n_worlds,
        seed=seed,
        rows=tuple(rows),
        errors=tuple(errors),
        live=tuple(live),
        seconds=time.monotonic() - start,
        cpu_seconds=time.process_time() - cpu + elsewhere,
    )


def _steps() -> list[str]:
    """The names of everything that runs in process, in order."""
    gates = [worlds.name for worlds in gate_worlds()]
    return [*(scenario.name for scenario in scenarios()), *gates, "anytime interval"]


def _step(number: int, n_worlds: int, seed: int) -> tuple[list[Row], list[ErrorRow], float]:
    """One of `_steps`, with the CPU seconds that it took."""
    cpu = time.process_time()
    kinds, gates = scenarios(), gate_worlds()
    rows: list[Row] = []
    if number < len(kinds):
        rows, errors = run_scenario(kinds[number], n_worlds, (seed, number))
    elif number < len(kinds) + len(gates):
        number -= len(kinds)
        errors = run_gates(gates[number], n_worlds, (seed, _GATES + number))
    else:
        errors = [run_interval(n_worlds, (seed, _INTERVAL))]
    return rows, errors, time.process_time() - cpu


@contextmanager
def _mapping(
    n_jobs: int,
) -> Iterator[Callable[..., Iterable[tuple[list[Row], list[ErrorRow], float]]]]:
    """`map`, here or over processes."""
    if n_jobs == 1:
        yield map
        return
    context = multiprocessing.get_context("spawn")  # forking a process with threads is no good
    with ProcessPoolExecutor(n_jobs, mp_context=context) as pool:
        yield pool.map
