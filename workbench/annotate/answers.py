"""What people said in Argilla as votes and skips of a round: each once, every version kept.

The id of a vote is made from round, pair, person and version, so reading the same answers again
changes nothing. An edit is a new version; the old vote is taken back, never overwritten.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from workbench.annotate.mapping import Answer, left_of
from workbench.annotate.staff import Staff
from workbench.audit.argilla_votes import ASSISTED, ID_PREFIX, ORIGIN
from workbench.audit.design import RoundDesign, text_hash
from workbench.audit.order import key
from workbench.audit.votes import unswap
from workbench.db.models import Amendment, Item, Skip, Slot, Vote

NO_REASON = "discarded in Argilla"
COUNTED = (
    "counted",  # took the first slot of a pair: the certificate reads these
    "overlap",  # took the second slot
    "surplus",  # a further opinion, or given with the AI's label in sight
    "known",  # read before
    "edited",  # another version of an answer that was read before
    "taken_back",  # submitted before, now a draft or discarded
    "skips",
    "drafts",
    "aside",  # the same person labelled the pair elsewhere before
    "late",  # came after the round was closed: kept, and never counts
)


@dataclass
class _Said:
    """What is stored of one person on one pair, all from Argilla."""

    votes: list[Vote] = field(default_factory=list)  # by version
    skips: list[Skip] = field(default_factory=list)

    @property
    def vote(self) -> Vote | None:
        """The newest version, standing or not."""
        return self.votes[-1] if self.votes else None

    @property
    def standing(self) -> Vote | None:
        """The vote that stands."""
        return next((vote for vote in self.votes if vote.undone_at is None), None)

    @property
    def skip(self) -> Skip | None:
        """The skip that stands."""
        return next((skip for skip in self.skips if skip.undone_at is None), None)


class Intake:
    """Answers on their way into one round, within one transaction.

    Args:
        session: The database, the round's row locked.
        round_id: The round.
        design: Its design.
        closed: It takes no more votes that count.
        staff: Who is who.
        now: Unix seconds, of what is stored.
    """

    def __init__(
        self,
        session: Session,
        round_id: int,
        design: RoundDesign,
        *,
        closed: bool,
        staff: Staff,
        now: float,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._session, self._round_id, self._design = session, round_id, design
        self._closed, self._staff, self._now = closed, staff, now
        items = select(Item.pair_id, Item.id).where(Item.round_id == round_id)
        self._items: dict[str, int] = dict(session.execute(items).all())
        self._pair_of = {item_id: pair_id for pair_id, item_id in self._items.items()}
        self._slots: defaultdict[int, dict[int, int]] = defaultdict(dict)
        for item_id, number, slot_id in session.execute(
            select(Slot.item_id, Slot.number, Slot.id).where(Slot.round_id == round_id)
        ):
            self._slots[item_id][number] = slot_id
        self._said: defaultdict[str, _Said] = defaultdict(_Said)
        self._filled: set[int] = set()
        self._elsewhere: set[tuple[int, int]] = set()  # (item, person) labelled on our own page
        self._read_votes()
        self._new: list[Vote | Skip | Amendment] = []
        self._touched: set[int] = set()  # items whose slots may be given out anew

    def _read_votes(self) -> None:
        votes = select(Vote).where(Vote.round_id == self._round_id)
        for vote in self._session.scalars(votes):
            if vote.origin in (ORIGIN, ASSISTED):
                self._said[vote.id.rpartition("-")[0]].votes.append(vote)
            elif vote.undone_at is None:
                self._elsewhere.add((vote.item_id, vote.annotator_id))
            if vote.undone_at is None and vote.counts:
                self._filled.add(vote.slot_id)
        skips = select(Skip).where(Skip.round_id == self._round_id, Skip.id.startswith(ID_PREFIX))
        for skip in self._session.scalars(skips):
            self._said[skip.id.rpartition("-")[0]].skips.append(skip)
        for said in self._said.values():
            said.votes.sort(key=lambda vote: _version(vote.id))

    def take(self, pair_id: str, answer: Answer) -> bool:
        """One person's answer on one pair as it stands now; False if nobody knows who it is."""
        annotator_id = self._staff.annotator(answer.user_id)
        if annotator_id is None:
            return False
        item_id = self._items[pair_id]
        place = text_hash(f"{self._round_id}\t{pair_id}\t{answer.user_id}")[:24]
        said = self._said[f"{ID_PREFIX}{place}"]
        if answer.status == "submitted" and answer.label is not None:
            self._submitted(said, place, item_id, annotator_id, answer)
        elif answer.status == "discarded":
            self._discarded(said, place, item_id, annotator_id, answer)
        else:
            self.counts["drafts"] += 1
            self._take_back(said)
            if said.skip is not None and not self._closed:
                said.skip.undone_at = self._now
        return True

    def _submitted(
        self, said: _Said, place: str, item_id: int, annotator_id: int, answer: Answer
    ) -> None:
        vote = self._vote(said, place, item_id, annotator_id, answer)
        before, standing = said.vote, said.standing
        if before is not None and _same_label(before, vote):
            if standing is None and before.undone_at == before.created_at:
                self.counts["known"] += 1  # it was kept aside when it came
                return
            if standing is not None:
                self._remarks(standing, vote)
                return
        if before is not None:
            self.counts["edited"] += 1
        if said.skip is not None:
            said.skip.undone_at = self._now
        if (item_id, annotator_id) in self._elsewhere:
            self.counts["aside"] += before is None
            vote.undone_at = self._now
        elif self._closed:
            self.counts["late"] += before is None
            vote.undone_at = self._now if standing is not None else None
        elif standing is not None:
            standing.undone_at = self._now
            if vote.origin == ORIGIN:
                vote.slot_id, vote.counts = standing.slot_id, standing.counts
            elif standing.counts:
                self._filled.discard(standing.slot_id)
        self._touched.add(item_id)
        said.votes.append(vote)
        self._new.append(vote)

    def _remarks(self, standing: Vote, vote: Vote) -> None:
        """The same verdict again: perhaps another note or other marks, which are versioned too."""
        if (standing.comment, standing.details) == (vote.comment, vote.details):
            self.counts["known"] += 1
            return
        self.counts["edited"] += 1
        versions = select(Amendment.seq).where(Amendment.vote_id == standing.id)
        newest = max(self._session.scalars(versions), default=None)
        if newest is None:  # what came with the vote
            newest = -1.0
            self._new.append(self._amendment(standing, standing, newest, standing.created_at))
        self._new.append(self._amendment(standing, vote, newest + 1.0, self._now))
        standing.comment, standing.details = vote.comment, vote.details

    def _amendment(self, vote: Vote, says: Vote, seq: float, at: float) -> Amendment:
        return Amendment(
            id=vote.id if seq < 0 else f"{vote.id}-{seq:.0f}",
            vote_id=vote.id,
            annotator_id=vote.annotator_id,
            seq=seq,
            comment=says.comment,
            details=says.details,
            created_at=at,
        )

    def _discarded(
        self, said: _Said, place: str, item_id: int, annotator_id: int, answer: Answer
    ) -> None:
        reason = answer.note or NO_REASON
        if said.skip is not None and said.skip.reason == reason:
            self.counts["known"] += 1
            return
        if self._closed:
            self.counts["late"] += 1
            return
        self._take_back(said)
        if said.skip is not None:
            self.counts["edited"] += 1
            said.skip.undone_at = self._now
        else:
            self.counts["skips"] += 1
        # A verdict given on our own page outweighs a discard here; one skip a person and pair.
        aside = (item_id, annotator_id) in self._elsewhere or self._skipped_elsewhere(
            item_id, annotator_id
        )
        skip = Skip(
            id=f"{ID_PREFIX}{place}-{len(said.skips) + 1}",
            round_id=self._round_id,
            item_id=item_id,
            slot_id=self._slots[item_id][0],
            annotator_id=annotator_id,
            lease_id=None,
            reason=reason,
            client_at=None,
            created_at=self._now,
            undone_at=self._now if aside else None,
        )
        said.skips.append(skip)
        self._new.append(skip)

    def _skipped_elsewhere(self, item_id: int, annotator_id: int) -> bool:
        found = select(Skip.id).where(
            Skip.item_id == item_id,
            Skip.annotator_id == annotator_id,
            Skip.undone_at.is_(None),
            ~Skip.id.startswith(ID_PREFIX),
        )
        return self._session.scalars(found).first() is not None

    def _take_back(self, said: _Said) -> None:
        """A vote whose answer is submitted no more; the slot it filled is open again."""
        standing = said.standing
        if standing is None or self._closed:
            return
        standing.undone_at = self._now
        self.counts["taken_back"] += 1
        if standing.counts:
            self._filled.discard(standing.slot_id)
            self._touched.add(standing.item_id)

    def store(self) -> None:
        """Give open slots to the votes that may have them, and write everything."""
        self._session.flush()  # what was taken back must go before what takes its place
        votes = [one for one in self._new if isinstance(one, Vote)]
        if not self._closed:
            self._settle()
        for vote in votes:
            if vote.undone_at is None and _version(vote.id) == 1 and not self._closed:
                self.counts[self._rank(vote)] += 1
        self._session.add_all(self._new)
        self._session.flush()

    def _settle(self) -> None:
        """Open slots go, by a hash of pair and person, to votes that stand and have none."""
        candidates: defaultdict[int, list[Vote]] = defaultdict(list)
        for said in self._said.values():
            vote = said.standing
            if vote is None or vote.counts or vote.origin != ORIGIN:
                continue
            if vote.item_id in self._touched:
                candidates[vote.item_id].append(vote)
        fresh = {id(one) for one in self._new}
        for item_id, votes in candidates.items():
            slots = self._slots[item_id]
            open_slots = [slots[n] for n in sorted(slots) if slots[n] not in self._filled]
            votes.sort(key=lambda vote: self._key(item_id, vote.annotator_id))
            for slot_id, vote in zip(open_slots, votes, strict=False):
                vote.slot_id, vote.counts = slot_id, True
                self._filled.add(slot_id)
                if id(vote) not in fresh:
                    vote.created_at = self._now  # so that the round as it was can still be read

    def _key(self, item_id: int, annotator_id: int) -> bytes:
        pair_id = self._pair_of[item_id]
        return key(
            self._design.seed, self._design.name, "argilla slot", f"{pair_id}\t{annotator_id}"
        )

    def _rank(self, vote: Vote) -> str:
        if not vote.counts:
            return "surplus"
        return "counted" if vote.slot_id == self._slots[vote.item_id][0] else "overlap"

    def _vote(
        self, said: _Said, place: str, item_id: int, annotator_id: int, answer: Answer
    ) -> Vote:
        """The answer as a vote that does not count yet."""
        left = left_of(self._design, self._pair_of[item_id])
        shown = answer.label or ""
        return Vote(
            id=f"{ID_PREFIX}{place}-{len(said.votes) + 1}",
            round_id=self._round_id,
            item_id=item_id,
            slot_id=self._slots[item_id][0],
            annotator_id=annotator_id,
            lease_id=None,
            label=unswap(shown, left),
            both_bad=shown == "both_bad",
            counts=False,
            left=left,
            seconds=None,
            comment=answer.note,
            details=answer.details,
            origin=ASSISTED if answer.assisted else ORIGIN,
            client_at=None,
            created_at=self._now,
            undone_at=None,
        )


def _version(vote_id: str) -> int:
    return int(vote_id.rpartition("-")[2])


def _same_label(one: Vote, other: Vote) -> bool:
    return (one.label, one.both_bad, one.origin) == (other.label, other.both_bad, other.origin)


def as_counts(counts: Counter[str]) -> dict[str, Any]:
    """Every count by name, 0 where nothing was counted."""
    return {f"n_{name}": counts[name] for name in COUNTED}
