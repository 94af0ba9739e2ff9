"""What people decided, read from a project's database: live votes and newest adjudications."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from pipelines.errors import BadInput
from workbench.audit.argilla_votes import ASSISTED
from workbench.audit.remarks import Remarks, by_response
from workbench.db.models import Adjudication, Annotator, Item, Round, Vote
from workbench.db.session import reading


@dataclass(frozen=True, slots=True)
class LiveVote:
    """One person's standing label on one pair."""

    annotator: str
    label: str
    both_bad: bool
    seconds: float | None
    comment: str | None
    origin: str  # as `workbench.db.models.Vote` has it
    created_at: float
    remarks: Remarks = field(default_factory=Remarks)


@dataclass(frozen=True, slots=True)
class Decision:
    """The newest adjudication of a pair."""

    annotator: str
    label: str
    comment: str | None
    created_at: float


@dataclass(slots=True)
class PairLabels:
    """All that the rounds know about one pair; draw facts are those of the latest round."""

    round: str
    stratum: str
    inclusion_prob: float
    votes: dict[int, LiveVote] = field(default_factory=dict)  # by annotator, their newest
    adjudication: Decision | None = None


@dataclass(frozen=True)
class RoundLabels:
    """The human labels of some rounds, by pair id."""

    rounds: tuple[str, ...]  # oldest first
    audited: tuple[str, ...]  # the label that each of these rounds audits
    pairs: dict[str, PairLabels]

    @property
    def n_votes(self) -> int:
        """Live votes, one per person and pair."""
        return sum(len(pair.votes) for pair in self.pairs.values())

    def origins(self) -> dict[str, int]:
        """Live votes by where they came from: simulated ones must be called so."""
        tally: dict[str, int] = {}
        for pair in self.pairs.values():
            for vote in pair.votes.values():
                tally[vote.origin] = tally.get(vote.origin, 0) + 1
        return dict(sorted(tally.items()))


def read_labels(engine: Engine, round_name: str | None = None) -> RoundLabels:
    """The labels of one round, or of all rounds.

    A person who voted on a pair in two rounds counts once, with the newer vote; one that was given
    with the AI's label in sight does not replace one that was not.

    Raises:
        BadInput: There is no round of that name.
    """
    with reading(engine) as session:
        rounds = session.execute(
            select(Round.id, Round.name, Round.design).order_by(Round.created_at, Round.id)
        ).all()
        if round_name is not None:
            chosen = [row for row in rounds if row.name == round_name]
            if not chosen:
                known = ", ".join(row.name for row in rounds) or "none yet"
                raise BadInput(f'round "{round_name}" does not exist; rounds: {known}')
            rounds = chosen
        names = {row.id: row.name for row in rounds}
        pairs, pair_of_item = _drawn(session, names)
        people = {row.id: row.name for row in session.execute(select(Annotator.id, Annotator.name))}
        _add_votes(session, names, pair_of_item, people)
        _add_adjudications(session, pair_of_item, people)
    return RoundLabels(
        rounds=tuple(names.values()),
        audited=tuple(str(row.design["label"]) for row in rounds),
        pairs=pairs,
    )


def _drawn(
    session: Session, rounds: dict[int, str]
) -> tuple[dict[str, PairLabels], dict[int, PairLabels]]:
    """Every drawn pair, by pair id and by item id."""
    pairs: dict[str, PairLabels] = {}
    by_item: dict[int, PairLabels] = {}
    for round_id, name in rounds.items():  # oldest first, so that the latest draw stands
        rows = session.execute(
            select(Item.id, Item.pair_id, Item.stratum, Item.inclusion_prob).where(
                Item.round_id == round_id
            )
        )
        for item_id, pair_id, stratum, inclusion_prob in rows:
            held = pairs.get(pair_id)
            if held is None:
                held = pairs[pair_id] = PairLabels(name, stratum, inclusion_prob)
            else:
                held.round, held.stratum, held.inclusion_prob = name, stratum, inclusion_prob
            by_item[item_id] = held
    return pairs, by_item


def _add_votes(
    session: Session,
    rounds: Iterable[int],
    pair_of_item: dict[int, PairLabels],
    people: dict[int, str],
) -> None:
    rows = session.execute(
        select(
            Vote.item_id,
            Vote.annotator_id,
            Vote.label,
            Vote.both_bad,
            Vote.seconds,
            Vote.comment,
            Vote.origin,
            Vote.created_at,
            Vote.details,
            Vote.left,
        )
        .where(Vote.undone_at.is_(None), Vote.round_id.in_(list(rounds)))
        .order_by(Vote.created_at, Vote.id)
    )
    for row in rows:
        votes = pair_of_item[row.item_id].votes
        before = votes.get(row.annotator_id)
        if row.origin == ASSISTED and before is not None and before.origin != ASSISTED:
            continue  # a label of one's own stands
        votes[row.annotator_id] = LiveVote(
            annotator=people[row.annotator_id],
            label=row.label,
            both_bad=row.both_bad,
            seconds=row.seconds,
            comment=row.comment,
            origin=row.origin,
            created_at=row.created_at,
            remarks=by_response(row.details, row.left),
        )


def _add_adjudications(
    session: Session, pair_of_item: dict[int, PairLabels], people: dict[int, str]
) -> None:
    rows = session.execute(
        select(
            Adjudication.item_id,
            Adjudication.annotator_id,
            Adjudication.label,
            Adjudication.comment,
            Adjudication.created_at,
        ).order_by(Adjudication.created_at, Adjudication.id)
    )
    for item_id, annotator_id, label, comment, created_at in rows:
        pair = pair_of_item.get(item_id)  # None: an item of a round that was not asked for
        if pair is not None:
            pair.adjudication = Decision(people[annotator_id], label, comment, created_at)


def audited_label(labels: RoundLabels) -> str | None:
    """The one label that these rounds audit; None without a round or with several labels."""
    distinct: Sequence[str] = sorted(set(labels.audited))
    return distinct[0] if len(distinct) == 1 else None
