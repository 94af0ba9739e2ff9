"""Training runs as the page reads them: only what is new of the curves, and what a run is worth.

Read from the files of a run's folder alone; nothing of the trainers is imported.
"""

import itertools
import json
import math
import statistics
import threading
import time
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from pipelines.agreement.estimate import Estimate
from pipelines.agreement.intervals import wilson_bounds
from pipelines.train.curves import CURVES
from pipelines.train.hacking import HELD_OUT, SEEN, warnings_of, watched_in
from pipelines.train.run_folder import RunFolder

Standing = Literal["done", "going on", "cut off"]

MOST_POINTS = 400  # of one line of a chart; the CSV has all of them
# A run that wrote nothing for so long, or for several of its own log intervals, was cut off.
_SILENT_S, _SILENT_INTERVALS = 120.0, 5.0


@dataclass
class Tail:
    """The points of one run's curves. Each look reads only what was written since the last."""

    path: Path
    _offset: int = 0
    _points: dict[int, dict[str, Any]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def points(self) -> list[dict[str, Any]]:
        """All points in order of steps; as `read_curves` gives them."""
        with self._lock:
            self._read_on()
            return [self._points[step] for step in sorted(self._points)]

    def _read_on(self) -> None:
        try:
            with self.path.open("rb") as file:
                if file.seek(0, 2) < self._offset:  # the run was deleted and begun again
                    self._offset, self._points = 0, {}
                file.seek(self._offset)
                new = file.read()
        except OSError:
            self._offset, self._points = 0, {}
            return
        whole = new[: new.rfind(b"\n") + 1]  # a line that is being written is read next time
        self._offset += len(whole)
        for line in whole.splitlines():
            try:
                point = json.loads(line)
                step = point["step"]
            except (ValueError, KeyError, TypeError):
                continue
            # Training and evaluation speak of one step in two lines.
            self._points[step] = self._points.get(step, {}) | point


def tail_of(folder: RunFolder) -> Tail:
    """The curves of a run, nothing read yet."""
    return Tail(folder.path / CURVES)


@dataclass(frozen=True)
class TrainingRun:
    """One run at one look."""

    name: str
    asked: Mapping[str, Any]
    result: Mapping[str, Any] | None
    points: Sequence[Mapping[str, Any]]
    standing: Standing

    @property
    def method(self) -> str:
        """sft, reward, dpo, ..."""
        return str(self.asked.get("method", "unknown"))

    @property
    def step(self) -> int:
        """The last one that was written."""
        return int(self.points[-1]["step"]) if self.points else 0

    @property
    def warnings(self) -> list[str]:
        """What looks like reward hacking, also while the run goes on."""
        if self.result is not None:
            return [str(said) for said in self.result.get("warnings") or ()]
        return warnings_of(watched_in(self.points))

    @property
    def section(self) -> Mapping[str, Any]:
        """The method's own settings."""
        settings = self.asked.get("settings") or {}
        section = settings.get("ppo" if self.method == "a2c" else self.method)
        return section if isinstance(section, Mapping) else {}


def look(folder: RunFolder, tail: Tail, now: float | None = None) -> TrainingRun:
    """A run as it stands.

    Args:
        folder: The run's.
        tail: Its curves.
        now: Unix seconds; the clock's where None.
    """
    result, points = folder.result(), tail.points()
    asked = folder.asked() or {}
    standing: Standing = "done"
    if result is None:
        now = time.time() if now is None else now
        standing = "going on" if now - _last_sign(folder, points) < _patience(points) else "cut off"
    return TrainingRun(folder.path.name, asked, result, points, standing)


def _last_sign(folder: RunFolder, points: Sequence[Mapping[str, Any]]) -> float:
    if points and isinstance(points[-1].get("at"), int | float):
        return float(points[-1]["at"])
    try:
        return (folder.path / "run.json").stat().st_mtime
    except OSError:
        return 0.0


def _patience(points: Sequence[Mapping[str, Any]]) -> float:
    times = [point["at"] for point in points[-20:] if isinstance(point.get("at"), int | float)]
    gaps = [b - a for a, b in itertools.pairwise(times)]
    return max(_SILENT_S, _SILENT_INTERVALS * statistics.median(gaps) if gaps else 0.0)


def series(
    points: Sequence[Mapping[str, Any]], names: Sequence[str], most: int = MOST_POINTS
) -> tuple[list[int], list[float]]:
    """Steps and values of the first of these names that the points have, thinned to `most`.

    Args:
        points: In order of steps.
        names: What the figure is called; trainers differ.
        most: The last point always stays.
    """
    for name in names:
        found = [
            (int(point["step"]), float(point[name]))
            for point in points
            if isinstance(point.get(name), int | float)
        ]
        if found:
            every = -(-len(found) // most)
            kept = found[::-1][::every][::-1]
            return [step for step, _ in kept], [value for _, value in kept]
    return [], []


def curves_table(runs: Sequence[TrainingRun]) -> pd.DataFrame:
    """Every point of every run, unthinned."""
    rows = [{"run": run.name, **point} for run in runs for point in run.points]
    return pd.DataFrame(rows, columns=None if rows else ["run", "step"])


def figures_table(runs: Sequence[TrainingRun]) -> pd.DataFrame:
    """The final figures of runs that are done; a figure without an interval has none to show."""
    rows: list[dict[str, Any]] = []
    for run in runs:
        result = run.result or {}
        n_looks = n_looked_at(run)
        for name, found in _flat(result):
            value = found
            win_rate = name in (f"{HELD_OUT}win_rate", f"{SEEN}win_rate")
            if win_rate and n_looks and isinstance(value, float):
                value = _share(value, n_looks)
            row: dict[str, Any] = {"run": run.name, "figure": name}
            if isinstance(value, Estimate):
                row |= {"estimate": value.estimate, "low": value.low, "high": value.high}
                row |= {"n": value.n, "interval": value.method}
            else:
                n = n_looks if name.startswith((HELD_OUT, SEEN)) else None
                row |= {"estimate": value, "low": None, "high": None, "n": n, "interval": None}
            rows.append(row)
    columns = ["run", "figure", "estimate", "low", "high", "n", "interval"]
    table = pd.DataFrame(rows, columns=columns)
    return table.astype({"n": "Int64", "estimate": float, "low": float, "high": float})


def n_looked_at(run: TrainingRun) -> int | None:
    """Of how many prompts or rows its looks are; None where nothing says so."""
    told = [*run.points, run.result or {}]
    found = (values.get(key) for key in _LOOKS_N for values in reversed(told))
    return next((int(n) for n in found if n), None)


def side_by_side(table: pd.DataFrame) -> pd.DataFrame:
    """Final figures for reading: a row each, a column a run, interval and n in the cell."""
    if table.empty:
        return table
    cells = table.assign(
        figure=table["figure"].str.replace("_", " "),
        said=[_cell(row) for row in table.to_dict("records")],
    )
    wide = cells.pivot_table(
        index="figure", columns="run", values="said", aggfunc="first", sort=False
    )
    return wide.fillna("").reset_index().rename_axis(columns=None)


def _cell(row: Mapping[Hashable, Any]) -> str:
    n = "" if pd.isna(row["n"]) else f"n = {row['n']:,}"
    interval = "" if pd.isna(row["low"]) else f"{row['low']:.3g} to {row['high']:.3g}"
    inner = ", ".join(part for part in (interval, n) if part)
    return f"{row['estimate']:.4g}" + (f" ({inner})" if inner else "")


def _share(value: float, n: int) -> Estimate:
    """A share of n prompts; with ties, which count half, its interval is somewhat wide."""
    low, high = wilson_bounds(value, n, statistics.NormalDist().inv_cdf(0.975))
    return Estimate(value, low, high, "wilson", n)


def growth(result: Mapping[str, Any], whose: str) -> list[tuple[float, Estimate]]:
    """A reward model's learning curve: pairs learnt from, and accuracy on held-out labels.

    Args:
        result: Of its run.
        whose: "human" or "all" held-out labels.
    """
    points = result.get("learning_curve") or ()
    return [
        (float(point["n_pairs"]), accuracy)
        for point in points
        if (accuracy := as_estimate(point.get(whose))) is not None
    ]


def confidence(result: Mapping[str, Any], whose: str) -> list[tuple[float, Estimate]]:
    """How sure a reward model was, bin by bin, and how often it was right."""
    found = ((result.get("held_out_pairs") or {}).get(whose) or {}).get("calibration") or {}
    return [
        (float(one["mean_said"]), share)
        for one in found.get("bins") or ()
        if (share := as_estimate(one.get("observed"))) is not None
    ]


_LOOKS_N = ("held_out_n", "seen_n", "n_held_out")  # what the trainers call it
_NOT_FIGURES = (
    "warnings", "epoch", "n", "n_prompts", "held_out_n", "seen_n", "n_train", "n_held_out",
)  # fmt: skip
_TIMINGS = ("_runtime", "_per_second", "num_tokens", "step_time")


def _flat(values: Mapping[str, Any], before: str = "") -> list[tuple[str, float | Estimate]]:
    """Figures of a result, those of inner tables with their names joined."""
    found: list[tuple[str, float | Estimate]] = []
    for key, value in values.items():
        name = f"{before}{key}"
        if key in _NOT_FIGURES or any(part in key for part in _TIMINGS):
            continue
        estimate = as_estimate(value)
        if estimate is not None:
            found.append((name, estimate))
        elif isinstance(value, Mapping):
            found += _flat(value, f"{name}, ")
        elif (
            isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        ):
            found.append((name, float(value)))
    return found


def as_estimate(value: object) -> Estimate | None:
    """A number with its interval as it stands in JSON; None for anything else."""
    if isinstance(value, Mapping) and set(value) == {"estimate", "low", "high", "method", "n"}:
        return Estimate(**value)
    return None
