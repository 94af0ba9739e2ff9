"""People judge an AI's critiques right or wrong: how far the critic is right, by principle."""

import hashlib
import json
import time
import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from sqlalchemy import select
from sqlalchemy.orm import Session

from pipelines.agreement.estimate import Estimate
from pipelines.agreement.intervals import wilson
from pipelines.constitution.trajectory import Critique, Response, Verdict
from pipelines.errors import BadInput
from workbench.db.models import CritiqueVerdict

Opinion = Literal["right", "wrong", "unsure", "withdrawn"]
_SAID: tuple[Verdict, ...] = ("violated", "satisfied")


@dataclass(frozen=True)
class CriticPrecision:
    """How often people find the critic right where it says `said` under a principle.

    `right` is over the critiques that people decided: by most of their newest verdicts. Undecided
    are those where people are unsure or split evenly.
    """

    principle: str
    said: Verdict
    right: Estimate | None
    n_undecided: int


def critique_id(response: Response, text: str, critique: Critique) -> str:
    """Names a critique by all that a person sees of it."""
    prompt = (
        response.prompt
        if isinstance(response.prompt, str)
        else [[turn.role, turn.content] for turn in response.prompt]
    )
    shown = [
        critique.constitution,
        critique.critic,
        critique.principle,
        prompt,
        text,
        critique.verdict,
        critique.why,
        critique.improve,
    ]
    content = json.dumps(shown, ensure_ascii=False)
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def put_verdict(
    session: Session,
    id: str,
    critique: Critique,
    annotator_id: int,
    opinion: Opinion,
    comment: str = "",
    said_id: str | None = None,
) -> bool:
    """Keep what a person says of a critique; an earlier verdict of theirs stays on record.

    Args:
        session: The database.
        id: Of the critique, as `critique_id` names it.
        critique: What the person saw.
        annotator_id: Whose verdict it is.
        opinion: The verdict.
        comment: Why.
        said_id: Names this saying, so that it is kept once however often it arrives.

    Returns:
        Whether it is new.

    Raises:
        BadInput: The critique failed, so it says nothing; or there is no such verdict.
    """
    if critique.verdict is None:
        raise BadInput("this critique failed, so it can be neither right nor wrong; skip it")
    if opinion not in get_args(Opinion):
        raise BadInput(f'"{opinion}" is none of {", ".join(get_args(Opinion))}')
    if said_id is not None and session.get(CritiqueVerdict, said_id) is not None:
        return False
    session.add(
        CritiqueVerdict(
            id=said_id or uuid.uuid4().hex,
            critique=id,
            constitution=critique.constitution,
            principle=critique.principle,
            critic=critique.critic,
            said=critique.verdict,
            annotator_id=annotator_id,
            verdict=opinion,
            comment=comment.strip() or None,
            created_at=time.time(),
        )
    )
    return True


def judged_by(session: Session, annotator_id: int) -> dict[str, str]:
    """The critiques that a person has judged, with their newest verdict, oldest first."""
    rows = session.execute(
        select(CritiqueVerdict.critique, CritiqueVerdict.verdict)
        .where(CritiqueVerdict.annotator_id == annotator_id)
        .order_by(CritiqueVerdict.created_at, CritiqueVerdict.id)
    )
    newest: dict[str, str] = {}
    for critique, verdict in rows:
        newest.pop(critique, None)
        newest[critique] = verdict
    return {critique: one for critique, one in newest.items() if one != "withdrawn"}


def critic_precision(
    session: Session, constitution: str, critic: str, principles: Iterable[str]
) -> list[CriticPrecision]:
    """How often the critic is right, by principle and by what it said.

    Args:
        session: The database.
        constitution: Hash of the version that was asked.
        critic: Its name.
        principles: Ids, in the order of the result.
    """
    rows = session.execute(
        select(
            CritiqueVerdict.critique,
            CritiqueVerdict.annotator_id,
            CritiqueVerdict.principle,
            CritiqueVerdict.said,
            CritiqueVerdict.verdict,
        )
        .where(CritiqueVerdict.constitution == constitution, CritiqueVerdict.critic == critic)
        .order_by(CritiqueVerdict.created_at, CritiqueVerdict.id)
    )
    newest = {(one.critique, one.annotator_id): one for one in rows}
    votes: dict[tuple[str, str], dict[str, Counter[str]]] = {}
    for one in newest.values():
        if one.verdict != "withdrawn":
            of_critique = votes.setdefault((one.principle, one.said), {})
            of_critique.setdefault(one.critique, Counter())[one.verdict] += 1
    found = []
    for principle in principles:
        for said in _SAID:
            counts = list(votes.get((principle, said), {}).values())
            decided = [
                one["right"] > one["wrong"] for one in counts if one["right"] != one["wrong"]
            ]
            right = wilson(sum(decided), len(decided)) if decided else None
            found.append(CriticPrecision(principle, said, right, len(counts) - len(decided)))
    return found
