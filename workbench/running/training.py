"""A training step of `workbench run`: the trainer of a method, as `workbench train` calls it."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pipelines.train.settings import TrainSettings
from workbench.project import Project
from workbench.training import ONLINE, judge_of

Train = Callable[..., dict[str, Any]]  # (run folder, progress) -> final figures


def prepared_run(
    method: str, settings: TrainSettings, project: Project, source: Path
) -> tuple[Mapping[str, Any], Train]:
    """What goes in, checked, and the function that trains with it.

    Args:
        method: As `workbench train` calls it.
        settings: `[train]`, resolved.
        project: The project.
        source: Rows or prompts.

    Raises:
        BadInput: Settings, data and models do not fit each other or this machine.
    """
    if method in ONLINE:
        from pipelines.train.online_setup import prepare_online

        online = prepare_online(method, settings, project.dir, source, partial(judge_of, project))
        if method in ("rloo", "grpo"):
            from pipelines.train.rl_trl import train_groups

            return online.asked, partial(train_groups, online)
        from pipelines.train.online import train_online

        return online.asked, partial(train_online, online)
    from pipelines.train.run import prepare, train

    prepared = prepare(method, settings, project.dir, source)
    return prepared.asked, partial(train, prepared)
