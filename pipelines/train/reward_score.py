"""What a reward model is worth: how it ranks pairs that it never saw, above all those that people
decided.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from pipelines.agreement.annotations import NONE, A, B, FloatArray
from pipelines.agreement.calibration import calibration
from pipelines.agreement.intervals import Clusters, mean_of
from pipelines.train.rows import PreferenceRow

_BINS = 10  # of 0..1; a confidence is at least 1/2, so half of them can hold pairs


def reward_score(rows: Sequence[PreferenceRow], margins: Sequence[float]) -> dict[str, Any]:
    """Pairwise accuracy and calibration, as JSON values; null where undefined.

    Args:
        rows: Held-out pairs.
        margins: Reward of chosen minus reward of rejected, shape (n_pairs,).

    Returns:
        `human` of the pairs that a person decided, `all` of all pairs that have a label.
    """
    d = np.asarray(margins, dtype=np.float64)
    by_human = np.array([row.by_human for row in rows], dtype=bool)
    decided = np.array([row.p_chosen > 0.5 for row in rows], dtype=bool)
    return {
        "human": _of([row for row, use in zip(rows, by_human, strict=True) if use], d[by_human]),
        "all": _of([row for row, use in zip(rows, decided, strict=True) if use], d[decided]),
    }


def _of(rows: Sequence[PreferenceRow], d: FloatArray) -> dict[str, Any]:
    """Accuracy: an even pair counts half. Calibration: sigma(|d|) against being right."""
    codes: dict[Any, int] = {}
    prompt = np.array([codes.setdefault(row.prompt, len(codes)) for row in rows], dtype=np.int64)
    if not len(d):
        return {"n": 0, "n_prompts": 0, "accuracy": None, "calibration": None}
    accuracy = mean_of(0.5 + 0.5 * np.sign(d), Clusters.of(prompt))
    # Which response is called the first is of no meaning, so it is the one that the model prefers:
    # what it says of itself is then always at least 1/2.
    right = np.where(d > 0.0, A, np.where(d < 0.0, B, NONE))
    said = None
    if np.any(d != 0.0):
        found = calibration(1.0 / (1.0 + np.exp(-np.abs(d))), right, prompt, n_bins=_BINS)
        said = asdict(found)
        said["bins"] = [
            {("mean_said" if key == "mean_p_a" else key): value for key, value in one.items()}
            for one in said["bins"]
        ]
    return {
        "n": len(rows), "n_prompts": len(codes), "accuracy": accuracy.as_dict(),
        "calibration": said,
    }  # fmt: skip
