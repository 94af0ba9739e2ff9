"""From a judge's section of `project.toml` to the question that it asks."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from pipelines.judge.modes import asked_orders, judge_pair
from pipelines.judge.runner import Question
from pipelines.judge.spec import JudgeSpec
from pipelines.judge.template import Template, load_template
from pipelines.models.opening import price_of


def question_of(spec: JudgeSpec, folders: Sequence[Path]) -> tuple[Question, Template]:
    """What a judge asks, and the template that it asks it with.

    Args:
        spec: The judge.
        folders: Where its files are looked up: the project's folder, then the program's `data`.

    Raises:
        BadInput: A file is missing or wrong.
    """
    template = load_template(spec, folders)
    question = Question(
        spec,
        template.hash,
        asked_orders(spec),
        partial(judge_pair, spec, template),
        price_of(spec),
    )
    return question, template
