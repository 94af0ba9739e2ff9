"""A round of a sandbox project, labelled by simulated people whose truth is the sandbox's."""

import time
from collections.abc import Callable, Sequence

from sqlalchemy import select

from pipelines.errors import BadInput
from pipelines.sandbox.annotators import Annotator, situation_in
from workbench.audit.rounds import find_round, read_design
from workbench.db.models import Item
from workbench.db.session import reading
from workbench.project import Project
from workbench.simulated import BETWEEN_PAIRS_S, Simulated, label_round, read_prompt

_SLACK = 1.5  # times as long as they should need


def label_sandbox_round(
    project: Project,
    people: Sequence[Annotator],
    round_name: str | None = None,
    share: float = 1.0,
    now: float | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Simulated:
    """Let simulated people label a round of pairs from the sandbox, at the queue people use.

    They begin long enough ago to be done, and away, by now; what they leave open is anybody's.

    Args:
        project: The project.
        people: Who labels.
        round_name: The round; the newest open one where None.
        share: Of the round's pairs in queue order, in (0, 1].
        now: The present, Unix seconds; the clock's where None.
        on_progress: Called with labels given and asked for.

    Raises:
        BadInput: There is no such round, it does not take votes, a pair in it is none of the
            sandbox's, or nobody labels.
    """
    if not people:
        raise BadInput("nobody labels; name at least one simulated annotator")
    with reading(project.engine) as session:
        found = find_round(session, round_name)
        round_id, name = found.id, found.name
        away_s = 60.0 * read_design(found).lease_minutes
        texts = select(Item.prompt_json).where(Item.round_id == round_id)
        prompts = list(session.scalars(texts))
    foreign = sum(situation_in(read_prompt(prompt)) is None for prompt in prompts)
    if foreign:
        raise BadInput(
            f"round {name}: {foreign:,} of its {len(prompts):,} pairs are none of the sandbox's, "
            "where alone the truth is known; let people label it, at `workbench serve`"
        )
    slowest_s = max(person.traits.seconds for person in people)
    needed_s = _SLACK * len(prompts) * (slowest_s + BETWEEN_PAIRS_S)
    start = (time.time() if now is None else now) - away_s - needed_s
    minds = {person.name: person.label for person in people}
    return label_round(project.engine, round_id, minds, share, start, on_progress)
