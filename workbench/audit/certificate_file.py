"""The certificate as a JSON file: what was asked, what was answered, what the gate says of it.

It holds the design, the counts and every label that was read, so that anyone can compute the
decision again from the file alone, and `workbench audit verify` can hold it against the project.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from pipelines.agreement.decision import Decision
from pipelines.agreement.estimate import Estimate
from pipelines.errors import BadInput
from pipelines.records import Label, Record
from workbench.audit.design import RoundDesign, Stratum

FORMAT: Literal["rlaif-audit-certificate/1"] = "rlaif-audit-certificate/1"


class Interval(Record):
    """An estimate with its interval, method and n."""

    estimate: float
    low: float
    high: float
    method: str
    n: int

    @classmethod
    def of(cls, estimate: Estimate | None) -> "Interval | None":
        """The same as a record; None stays None."""
        return None if estimate is None else cls(**estimate.as_dict())


class TestEntry(Record):
    """One one-sided test of the gate."""

    __test__ = False  # not a test class, whatever pytest makes of the name

    name: str
    tau: float
    side: Literal["up", "down"]
    e_value: float
    max_e_value: float
    crossed_at: int | None


class CrossingEntry(Record):
    """The first decision that was seen; it stands whatever was edited later."""

    decision: Decision
    n_labels: int
    recorded_at: float


class FixedSample(Record):
    """What a design with a fixed sample would have cost, decided beforehand."""

    share: float
    n_labels: int
    sentence: str


class PersonEntry(Record):
    """Agreement of the AI labels with one person, on the first slots that fell to them."""

    annotator: str
    n: int
    n_agree: int
    n_tie: int
    agreement: Interval | None


class SliceEntry(Record):
    """The gate within one value of a slice, at its share of alpha."""

    slice: str
    value: str
    declared: bool  # else exploratory: a hint where to look, not a finding
    alpha: float
    n_population: int
    n: int
    decision: Decision
    agreement: Interval | None


class LabelEntry(Record):
    """One pair of the prefix; the place in the list is its place in the draw."""

    pair_id: str
    ai: Label
    human: Label | None  # None: nobody will answer
    annotator: str | None
    vote: str | None  # id of the vote


class StratumCertificate(Record):
    """What one population's draw says."""

    name: Stratum
    decision: Decision
    n_labels_to_decision: int | None
    crossing: CrossingEntry | None
    decision_now: Decision  # differs from `decision` only after edits
    alpha: float  # of each test, after earlier rounds were paid
    n_population: int
    excluded: dict[str, int]
    n_drawn: int
    n_read: int  # the answered prefix
    n_waiting: int  # answered, but behind an open pair
    n_agree: int
    n_disagree: int
    n_tie: int
    n_unanswered: int
    agreement: Interval | None
    tests: tuple[TestEntry, ...]
    fixed_sample: FixedSample | None
    by_annotator: tuple[PersonEntry, ...]
    slices: tuple[SliceEntry, ...]
    pairs_hash: str
    labels_hash: str
    stages: tuple[dict[str, Any], ...]  # batches of the draw; an active stage with its fit
    labels: tuple[LabelEntry, ...]


class Ceiling(Record):
    """How often two people agree: the ceiling of any agreement with a person."""

    n_pairs: int
    agreement: Interval | None  # A, B and tie must be equal
    decisive: Interval | None  # pairs on which neither said tie


class ImportEntry(Record):
    """A file of labels that was read into the round."""

    file: str
    sha256: str
    slot_rule: str
    n_counted: int  # first slots it took when it was first read


class Certificate(Record):
    """The whole file."""

    format: Literal["rlaif-audit-certificate/1"] = FORMAT
    project: str
    round: str
    created_at: float  # Unix seconds; the labels are those that stood then
    closed_at: float | None
    decision: Decision  # of the main stratum
    trusted: bool
    says: tuple[str, ...]  # in sentences: the decision, and what it does not cover
    kind_of_label: str
    design: RoundDesign
    design_hash: str
    strata: tuple[StratumCertificate, ...]
    human_ceiling: Ceiling | None
    imports: tuple[ImportEntry, ...]
    versions: dict[str, str]

    def as_json(self) -> str:
        """The file's text."""
        return self.model_dump_json(indent=1) + "\n"


def read_certificate(path: Path) -> Certificate:
    """A certificate from its file.

    Raises:
        BadInput: It cannot be read, or it is not a certificate of this format.
    """
    try:
        return Certificate.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); check the name") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(step) for step in first["loc"]) or "the file"
        raise BadInput(
            f"{path}: not a certificate of format {FORMAT} ({where}: {first['msg']}); "
            "give the file that `workbench audit certify --out` wrote"
        ) from error


def hash_labels(labels: Iterable[LabelEntry]) -> str:
    """SHA-256 of the lines "place<TAB>pair id<TAB>label<TAB>annotator<TAB>vote"."""
    digest = hashlib.sha256()
    for place, entry in enumerate(labels):
        parts = (str(place), entry.pair_id, entry.human, entry.annotator, entry.vote)
        digest.update(("\t".join(part or "" for part in parts) + "\n").encode())
    return digest.hexdigest()


def hash_pairs(pairs: Iterable[tuple[str, str, str]]) -> str:
    """SHA-256 of the lines "place<TAB>pair id<TAB>text fingerprint<TAB>AI label" of drawn pairs."""
    digest = hashlib.sha256()
    for place, parts in enumerate(pairs):
        digest.update(("\t".join((str(place), *parts)) + "\n").encode())
    return digest.hexdigest()
