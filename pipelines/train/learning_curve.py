"""A reward model's accuracy against the number of pairs that it learnt from.

Each smaller share is a run of its own in the run's folder (`curve/0.25/`), with the same settings
from the same start, scored on the same held-out pairs. The shares are nested: a larger one holds
the smaller. Where the curve still rises, more pairs are worth their price.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from accelerate import PartialState

from pipelines.train.run import Prepared, train
from pipelines.train.run_folder import RunFolder
from pipelines.train.watch import Progress, nobody


def with_learning_curve(
    prepared: Prepared, shares: Sequence[float], folder: RunFolder, on_progress: Progress = nobody
) -> dict[str, Any]:
    """Train on all pairs and on each share of them; what is done already is not done again.

    Args:
        prepared: A reward model's run.
        shares: Of the training pairs, each above 0 and at most 1; all of them come on top.
        folder: The run's.
        on_progress: Called with the steps done and those of one share after the other.

    Returns:
        The result of the run on all pairs, with `learning_curve`: for each share the number of
        pairs and the accuracy on held-out pairs, human ones and all, with n and interval.
    """
    result = train(prepared, folder, on_progress)
    points = []
    for share in sorted({*shares, 1.0}):
        one = result if share == 1.0 else _trained_on(share, prepared, folder, on_progress)
        held_out = one["held_out_pairs"]
        points.append(
            {
                "share": share,
                "n_pairs": one["n_train"],
                "human": held_out["human"]["accuracy"],
                "all": held_out["all"]["accuracy"],
            }
        )
    result = {**result, "learning_curve": points}
    if PartialState().is_main_process:
        folder.finish(result)
    return result


def _trained_on(
    share: float, prepared: Prepared, folder: RunFolder, on_progress: Callable[[int, int], None]
) -> dict[str, Any]:
    rows = prepared.rows
    order = list(range(len(rows.train)))
    random.Random(prepared.settings.seed).shuffle(order)
    kept = sorted(order[: max(1, round(share * len(order)))])
    part = replace(
        rows,
        splits={**rows.splits, "train": [rows.train[row] for row in kept]},
        n_tokens=tuple(rows.n_tokens[row] for row in kept),
    )
    asked = {**prepared.asked, "share": share}
    inner = RunFolder(folder.path / "curve" / f"{share:g}")
    return train(replace(prepared, rows=part, asked=asked), inner, on_progress)
