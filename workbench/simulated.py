"""Simulated annotators at the real queue: what a person's page sends, they send.

For the demo, and for trying a project out. Their votes are stored by the same functions as
everybody's and differ in one thing only: their origin is "simulated".
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue
from sqlalchemy import Engine, select, update

from pipelines.errors import BadInput
from pipelines.records import HumanLabel, Message, PreferencePair
from workbench.audit.people import enter
from workbench.audit.queue import Desk, Reply, SyncRequest, mint_token, sync
from workbench.audit.shown import ShownItem
from workbench.db.models import Item, Vote
from workbench.db.session import reading, writing

ORIGIN = "simulated"
SKIP_REASON = "I cannot read this language"
BETWEEN_PAIRS_S = 1.0
_PREFETCH = 12

# What somebody says, written down by pair id; or how they make up their mind: of the pair, the
# response on the left ("A" or "B") and the number of pairs that they labelled before.
Mind = Callable[[PreferencePair, str, int], HumanLabel | None]
Answers = Mapping[str, HumanLabel] | Mind


@dataclass(frozen=True)
class Simulated:
    """What the simulated people did, and when the last of them stopped (Unix seconds)."""

    n_votes: int
    n_skips: int
    answered: int  # slots of the round that are filled
    asked: int
    ended_at: float


@dataclass
class _Person:
    """One simulated person with an open page."""

    annotator_id: int
    answers: Answers
    token: str
    since: float  # when they began with the pair before them, Unix seconds
    queue: list[ShownItem] = field(default_factory=list)
    n_done: int = 0

    def answer(self, item: ShownItem, pair_id: str) -> HumanLabel | None:
        """What they say of the pair before them; None to skip it."""
        if isinstance(self.answers, Mapping):
            return self.answers.get(pair_id)
        return self.answers(_pair(item, pair_id), item.left, self.n_done)


@dataclass(frozen=True)
class _Turn:
    """A person, the pair before them, what they will say (None: skip it) and when."""

    person: _Person
    item: ShownItem
    answer: HumanLabel | None
    done_at: float

    def operation(self, now: float) -> dict[str, JsonValue]:
        """What their page sends; the label turned to the sides on which the pair is shown."""
        op: dict[str, JsonValue] = {
            "id": f"{ORIGIN}-{self.person.annotator_id}-{self.item.item_id}",
            "lease": self.item.lease_id,
            "client_at": 1000 * now,
        }
        answer = self.answer
        if answer is None:
            return op | {"kind": "skip", "reason": SKIP_REASON}
        said = {"kind": "vote", "seconds": answer.seconds, "comment": answer.comment}
        if answer.label == "tie":
            return op | said | {"label": "tie"}
        return op | said | {"label": "left" if answer.label == self.item.left else "right"}


def label_round(
    engine: Engine,
    round_id: int,
    answers: Mapping[str, Answers],
    share: float,
    start: float,
    on_progress: Callable[[int, int], None] | None = None,
) -> Simulated:
    """Let simulated people label the first share of a round's queue, then leave.

    Each takes the seconds that their labels say, so the round fills as it would with people: in
    queue order, by everyone at their own pace. A pair that somebody has no answer to is skipped,
    and goes to another of them.

    Args:
        engine: The project's database.
        round_id: The round.
        answers: Annotator name -> what they say; names that are new are added. A mind has to say
            the same whenever it is asked the same.
        share: Of the round's pairs in queue order, in (0, 1].
        start: When they begin, Unix seconds. Begin long enough ago and they are away by now, so
            that their open pairs pass on to whoever comes next.
        on_progress: Called with labels given and asked for, after each.

    Raises:
        BadInput: The round does not take votes.
    """
    visit = _Visit(engine, round_id, share)
    people = [visit.enter(name, answers[name], start) for name in sorted(answers)]
    last = [visit.send(person, [], start) for person in people][-1]
    n_votes, n_skips, now = 0, 0, start
    while turns := [turn for person in people if (turn := visit.turn(person))]:
        turn = min(turns, key=lambda each: each.done_at)
        now = turn.done_at
        last = visit.send(turn.person, [turn.operation(now)], now)
        if turn.answer is not None:
            n_votes += 1
            turn.person.n_done += 1
        else:  # the pair is somebody else's now, perhaps of one who was done
            n_skips += 1
            busy = [each.person for each in turns]
            for idle in people:
                if idle not in busy:
                    last = visit.send(idle, [], now)
        if on_progress is not None:
            on_progress(last.everyone, last.asked)
    for person in people:
        visit.leave(person, now)
    return Simulated(n_votes, n_skips, last.everyone, last.asked, now)


class _Visit:
    """The pages of the simulated people, as the server sees them."""

    def __init__(self, engine: Engine, round_id: int, share: float) -> None:
        self.engine, self.round_id, self.desk = engine, round_id, Desk()
        with reading(engine) as session:
            items = select(Item.id, Item.pair_id).where(Item.round_id == round_id)
            rows = session.execute(items.order_by(Item.rank, Item.id)).all()
        self.pair_ids = dict(rows)
        wanted = [item_id for item_id, _ in rows][: math.ceil(share * len(rows))]
        self.place = {item_id: place for place, item_id in enumerate(wanted)}

    def enter(self, name: str, answers: Answers, now: float) -> _Person:
        """Seat a person, who opens the page."""
        with writing(self.engine) as session:
            person = enter(session, name, now)
            token = mint_token(session, self.round_id, person.id, now)
            return _Person(person.id, answers, token, now)

    def send(self, person: _Person, ops: list[JsonValue], now: float) -> Reply:
        """One message of a page and its answer."""
        request = SyncRequest(
            token=person.token,
            ops=ops,
            want=_PREFETCH,
            have=[item.lease_id for item in person.queue],
        )
        with writing(self.engine) as session:
            reply = sync(session, request, self.desk, now)
            ids = [op_id for op_id, _ in reply.acks]
            session.execute(update(Vote).where(Vote.id.in_(ids)).values(origin=ORIGIN))
        refused = [ack for _, ack in reply.acks if ack != "stored"]
        if refused or reply.closed:
            raise BadInput(
                f"round {self.round_id} does not take votes ({(refused or ['closed'])[0]}); "
                "draw a new one"
            )
        gone = set(reply.drop)
        kept = [item for item in person.queue if item.lease_id not in gone]
        person.queue = kept + reply.items
        person.since = now
        return reply

    def leave(self, person: _Person, now: float) -> None:
        """What a page says when it closes."""
        with writing(self.engine) as session:
            request = SyncRequest(token=person.token, want=0, active=False)
            sync(session, request, self.desk, now)

    def turn(self, person: _Person) -> _Turn | None:
        """What a person does next; None once all that they were to do is done."""
        mine = [item for item in person.queue if item.item_id in self.place]
        if not mine:
            return None
        item = min(mine, key=lambda each: self.place[each.item_id])
        answer = person.answer(item, self.pair_ids[item.item_id])
        seconds = 0.0 if answer is None or answer.seconds is None else answer.seconds
        return _Turn(person, item, answer, person.since + seconds + BETWEEN_PAIRS_S)


def _pair(item: ShownItem, pair_id: str) -> PreferencePair:
    """The pair as its reader sees it."""
    return PreferencePair(
        id=pair_id,
        prompt=read_prompt(item.prompt_json),
        response_a=item.response_a,
        response_b=item.response_b,
    )


def read_prompt(prompt_json: str) -> str | tuple[Message, ...]:
    """A prompt as the database has it: `PreferencePair.prompt_json` turned back."""
    prompt = json.loads(prompt_json)
    if isinstance(prompt, str):
        return prompt
    return tuple(Message(role=turn["role"], content=turn["content"]) for turn in prompt)
