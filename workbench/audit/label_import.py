"""Taking human labels that were given elsewhere into a round, as its votes."""

import time
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from pipelines.errors import BadInput
from pipelines.formats.rejects import Reject
from workbench.audit.design import RoundDesign, text_hash
from workbench.audit.items import shown, text_fingerprint
from workbench.audit.label_files import ReadLabel, file_hash, read_labels
from workbench.audit.order import key
from workbench.audit.rounds import find_round, lock_round, read_design
from workbench.db.models import Annotator, Item, LabelImport, Slot, Vote
from workbench.db.session import reading, writing
from workbench.project import Project

ORIGIN = "import"
SLOT_RULE = (
    "where the file holds several people's labels of a pair, the first slot goes to the one with "
    "the smallest SHA-256 of 'seed|round|first slot|pair id<TAB>annotator', the overlap slot, "
    "where the pair has one, to the next; all others are kept and do not count"
)


@dataclass(frozen=True)
class ImportedLabels:
    """What became of the labels of a file. Every label of it is in exactly one of the counts."""

    round_name: str
    n_counted: int = 0  # took the first slot of a pair: the certificate reads these
    n_overlap: int = 0  # took the second slot
    n_surplus: int = 0  # kept as a further opinion
    n_known: int = 0  # the same person's same label was there already
    n_differing: int = 0  # the same person's other label was there already, and stays
    n_not_drawn: int = 0  # of pairs that the round did not draw
    n_unknown: int = 0  # of pairs that the project does not hold
    n_other_people: int = 0  # of annotators who were not asked for
    n_rejected: dict[str, int] = field(default_factory=dict)  # by reason
    rejects: tuple[Reject, ...] = ()

    @property
    def n_new(self) -> int:
        """Votes that this import added."""
        return self.n_counted + self.n_overlap + self.n_surplus

    def counts(self) -> dict[str, Any]:
        """All counts, for JSON."""
        return {name: value for name, value in self.__dict__.items() if name.startswith("n_")}


def import_labels(
    project: Project,
    path: Path,
    round_name: str | None = None,
    *,
    annotators: Collection[str] | None = None,
) -> ImportedLabels:
    """Read a file of labels into a round. Importing it again changes nothing.

    Args:
        project: Whose round it is.
        path: CSV or JSON Lines of pair_id, annotator, label (and seconds, comment), or a file of
            pairs with `human` entries; a label of a pair whose text differs is rejected.
        round_name: The round; None is the newest open one.
        annotators: Only these people's labels; None: everyone's.

    Raises:
        BadInput: The file cannot be read, or the round is closed.
    """
    digest = file_hash(path)
    with reading(project.engine) as session:
        found = find_round(session, round_name)
        name = found.name
        items = select(Item.pair_id).where(Item.round_id == found.id)
        drawn = frozenset(session.scalars(items))
    file = _read(path, drawn, annotators)
    n_unknown = _n_unknown(project, file.elsewhere)
    with writing(project.engine) as session:
        found = lock_round(session, name)
        if found.closed_at is not None:
            raise BadInput(f"round {name!r} is closed; import into an open round")
        now = time.time()  # under the lock: not before what was certified while it waited
        intake = _Intake(session, found.id, read_design(found), now)
        for read in file.labels:
            intake.sort(read)
        intake.store()
        rejects = file.rejects + intake.rejects
        summary = ImportedLabels(
            round_name=name,
            **{f"n_{what}": intake.counts[what] for what in _COUNTED},
            n_not_drawn=file.elsewhere.total() - n_unknown,
            n_unknown=n_unknown,
            n_other_people=file.n_other_people,
            n_rejected=dict(Counter(reject.reason for reject in rejects)),
            rejects=tuple(rejects),
        )
        if session.get(LabelImport, (found.id, digest)) is None:
            session.add(
                LabelImport(
                    round_id=found.id,
                    file_hash=digest,
                    file_name=path.name,
                    slot_rule=SLOT_RULE,
                    counts=summary.counts(),
                    created_at=now,
                )
            )
    return summary


_COUNTED = ("counted", "overlap", "surplus", "known", "differing")


@dataclass
class _File:
    """What a file holds for a round: labels of drawn pairs, and counts of all else."""

    labels: list[ReadLabel] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    elsewhere: Counter[str] = field(default_factory=Counter)  # labels of other pairs, by pair
    n_other_people: int = 0


def _read(path: Path, drawn: Collection[str], annotators: Collection[str] | None) -> _File:
    file = _File()
    for read in read_labels(path):
        if isinstance(read, Reject):
            file.rejects.append(read)
        elif annotators is not None and read.row.annotator not in annotators:
            file.n_other_people += 1
        elif read.row.pair_id in drawn:
            file.labels.append(read)
        else:
            file.elsewhere[read.row.pair_id] += 1
    return file


def _n_unknown(project: Project, elsewhere: Mapping[str, int]) -> int:
    """Labels whose pair the project does not hold at all."""
    rows = project.store.rows_of(list(elsewhere))
    return sum(n for n, row in zip(elsewhere.values(), rows, strict=True) if row < 0)


class _Intake:
    """The labels of one file on their way into one round."""

    def __init__(self, session: Session, round_id: int, design: RoundDesign, now: float) -> None:
        self.session, self.round_id, self.design, self.now = session, round_id, design, now
        self.counts: Counter[str] = Counter()
        self.rejects: list[Reject] = []
        people = session.execute(select(Annotator.name, Annotator.id).order_by(Annotator.id.desc()))
        self._people = {_folded(name): person_id for name, person_id in people}
        items = select(Item.pair_id, Item.id).where(Item.round_id == round_id)
        self._items = dict(session.execute(items).all())
        self._texts: dict[str, str] = {}
        self._slots: defaultdict[int, dict[int, int]] = defaultdict(dict)
        for slot_id, item_id, number in session.execute(
            select(Slot.id, Slot.item_id, Slot.number).where(Slot.round_id == round_id)
        ):
            self._slots[item_id][number] = slot_id
        self._voted: dict[tuple[int, int], str] = {}  # (item, person) -> label that stands
        self._filled: set[int] = set()
        self._ids: set[str] = set()
        for vote in session.execute(
            select(
                Vote.id,
                Vote.item_id,
                Vote.slot_id,
                Vote.annotator_id,
                Vote.label,
                Vote.counts,
                Vote.undone_at,
            ).where(Vote.round_id == round_id)
        ):
            self._ids.add(vote.id)
            if vote.undone_at is None:
                self._voted[vote.item_id, vote.annotator_id] = vote.label
                if vote.counts:
                    self._filled.add(vote.slot_id)
        self._new: defaultdict[str, dict[str, ReadLabel]] = defaultdict(dict)

    def sort(self, read: ReadLabel) -> None:
        """Take one label of a drawn pair, or count why not."""
        row = read.row
        item_id = self._items[row.pair_id]
        if read.text is not None and read.text != self._text(row.pair_id):
            self.rejects.append(
                Reject(read.line, "different text", f"pair {row.pair_id!r} has other text here")
            )
            return
        person = _folded(row.annotator)
        earlier = self._new[row.pair_id].get(person)
        standing = self._voted.get((item_id, self._people.get(person, 0)))
        if earlier is not None:
            standing = earlier.row.label
        if standing is not None:
            self.counts["known" if standing == row.label else "differing"] += 1
        elif self._vote_id(row.pair_id, row.annotator) in self._ids:
            self.counts["known"] += 1  # imported before and taken back since: it stays so
        else:
            self._new[row.pair_id][person] = read

    def store(self) -> None:
        """Give each new label its slot and write them all."""
        votes = []
        for pair_id, by_person in self._new.items():
            item_id = self._items[pair_id]
            slots = self._slots[item_id]
            reads = by_person.values()
            for read in sorted(reads, key=lambda one: self._key(pair_id, one.row.annotator)):
                number = next(
                    (n for n in sorted(slots) if slots[n] not in self._filled),
                    None,
                )
                self.counts[_PLACE[number]] += 1
                slot_id = slots[0 if number is None else number]
                if number is not None:
                    self._filled.add(slot_id)
                votes.append(self._vote(read, item_id, slot_id, number is not None))
        if votes:
            self.session.execute(insert(Vote), votes)

    def _key(self, pair_id: str, name: str) -> bytes:
        return key(self.design.seed, self.design.name, "first slot", f"{pair_id}\t{name}")

    def _vote_id(self, pair_id: str, name: str) -> str:
        return "import-" + text_hash(f"{self.round_id}\t{pair_id}\t{name}")[:32]

    def _vote(self, read: ReadLabel, item_id: int, slot_id: int, counts: bool) -> dict[str, Any]:
        row = read.row
        return {
            "id": self._vote_id(row.pair_id, row.annotator),
            "round_id": self.round_id,
            "item_id": item_id,
            "slot_id": slot_id,
            "annotator_id": self._person(row.annotator),
            "lease_id": None,
            "label": row.label,
            "both_bad": False,
            "counts": counts,
            "left": None,
            "seconds": row.seconds,
            "comment": row.comment and shown(row.comment),
            "details": {},
            "origin": ORIGIN,
            "client_at": None,
            "created_at": self.now,
            "undone_at": None,
        }

    def _person(self, name: str) -> int:
        folded = _folded(name)
        if folded not in self._people:
            person = Annotator(
                name=shown(name),
                created_at=self.now,
                link_hash=None,
                revoked_at=None,
                role="annotator",
            )
            self.session.add(person)
            self.session.flush()
            self._people[folded] = person.id
        return self._people[folded]

    def _text(self, pair_id: str) -> str:
        if not self._texts:  # a file of pairs: it will ask for nearly all of them
            texts = select(Item.pair_id, Item.prompt_json, Item.response_a, Item.response_b)
            for one, *parts in self.session.execute(texts.where(Item.round_id == self.round_id)):
                self._texts[one] = text_fingerprint(*parts)
        return self._texts[pair_id]


def _folded(name: str) -> str:
    """One person, however the name is written: as `people.by_name` finds them."""
    return " ".join(shown(name).split()).casefold()


_PLACE: dict[int | None, str] = {0: "counted", 1: "overlap", None: "surplus"}
