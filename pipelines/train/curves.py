"""Training curves on disk: one JSON line a log step, read by the Training page while it runs.

A resumed run repeats the steps since its last checkpoint; the line written last for a step counts.
"""

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CURVES = "curves.jsonl"


def append_point(folder: Path, step: int, values: Mapping[str, float]) -> None:
    """Add one step's values (metric name -> value); what is not finite is kept as null."""
    point: dict[str, Any] = {"step": step, "at": round(time.time(), 3)}
    point |= {name: value if math.isfinite(value) else None for name, value in values.items()}
    with (folder / CURVES).open("a", encoding="utf-8") as file:
        file.write(json.dumps(point) + "\n")


def read_curves(folder: Path) -> list[dict[str, Any]]:
    """The points in order of steps. A torn last line, of a run that is writing, is left out."""
    points: dict[int, dict[str, Any]] = {}
    try:
        lines = (folder / CURVES).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    for line in lines:
        try:
            point = json.loads(line)
        except json.JSONDecodeError:
            continue
        if point["step"] in points:  # training and evaluation speak of one step in two lines
            point = points[point["step"]] | point
        points[point["step"]] = point
    return [points[step] for step in sorted(points)]
