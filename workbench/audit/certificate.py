"""Making a certificate: each stratum's gate, the evidence beside it, and it all in sentences."""

import math
import platform
import time

import numpy
import scipy
from sqlalchemy.orm import Session

from pipelines.provenance import program_version
from workbench.audit.argilla_votes import assisted_datasets, is_argilla, n_assisted
from workbench.audit.certificate_file import (
    Certificate,
    CrossingEntry,
    FixedSample,
    Interval,
    StratumCertificate,
    TestEntry,
    hash_labels,
    hash_pairs,
)
from workbench.audit.design import MAIN, SAFETY, SafetyRule
from workbench.audit.evidence import (
    by_annotator,
    ceiling,
    drawn_pairs,
    import_entries,
    label_entries,
    slice_entries,
    stage_entries,
)
from workbench.audit.labels import last_event
from workbench.audit.reading import RoundReading, StratumReading, read_in
from workbench.audit.rounds import find_round, lock_round
from workbench.db.session import writing
from workbench.project import Project

FIXED_SHARE = 0.10  # the habit that a sequential gate is held against


def make_certificate(
    project: Project, name: str | None = None, now: float | None = None
) -> Certificate:
    """Certify a round as it stands; a decision seen for the first time is recorded.

    Args:
        project: The project.
        name: The round; None is the newest open one.
        now: The time to record, Unix seconds.
    """
    now = time.time() if now is None else now
    with writing(project.engine) as session:
        found = lock_round(session, find_round(session, name).name)
        # Another server's clock may be ahead: what was read must not be later than the reading.
        read = read_in(session, found, max(now, last_event(session, found.id)))
        return certify_reading(session, project.name, read)


def certify_reading(session: Session, project: str, read: RoundReading) -> Certificate:
    """The certificate of a round as it was read; nothing later than the reading enters."""
    found, at = read.round, read.read_at
    closed = found.closed_at is not None and found.closed_at <= at
    return Certificate(
        project=project,
        round=found.name,
        created_at=at,
        closed_at=found.closed_at if closed else None,
        decision=read.decision,
        trusted=read.trusted,
        says=(*says(read), *argilla_sentences(session, read)),
        kind_of_label=read.design.kind_of_label,
        design=read.design,
        design_hash=found.design_hash,
        strata=tuple(_stratum(session, read, part) for part in read.strata),
        human_ceiling=ceiling(session, found.id, at),
        imports=import_entries(session, found.id, at),
        versions={
            "workbench": program_version(),
            "python": platform.python_version(),
            "numpy": numpy.__version__,
            "scipy": scipy.__version__,
        },
    )


def _stratum(session: Session, read: RoundReading, part: StratumReading) -> StratumCertificate:
    now, design, round_id = part.now, part.design, read.round.id
    labels = label_entries(session, part.labels)
    n_drawn = part.labels.n_drawn
    active = read.design.is_active(design.name)
    return StratumCertificate(
        name=design.name,
        decision=part.decision,
        n_labels_to_decision=part.n_labels,
        crossing=_crossing(part),
        decision_now=now.decision,
        alpha=part.gate.alpha,
        n_population=design.n_population,
        excluded=design.excluded,
        n_drawn=n_drawn,
        n_read=len(labels),
        n_waiting=part.labels.n_waiting,
        n_agree=now.n_agree,
        n_disagree=now.n_disagree,
        n_tie=now.n_tie,
        n_unanswered=now.n_unanswered,
        agreement=Interval.of(now.estimate),
        tests=tuple(
            TestEntry(
                name=test.name,
                tau=test.tau,
                side=test.side,
                e_value=test.e_value,
                max_e_value=test.max_e_value,
                crossed_at=test.crossed_at,
            )
            for test in now.tests
        ),
        fixed_sample=fixed_sample(part),
        by_annotator=by_annotator(session, part),
        slices=() if active else slice_entries(session, round_id, part),
        pairs_hash=hash_pairs(drawn_pairs(session, round_id, design.name, n_drawn)),
        labels_hash=hash_labels(labels),
        stages=stage_entries(session, round_id, design.name, read.read_at),
        labels=labels,
    )


def _crossing(part: StratumReading) -> CrossingEntry | None:
    if part.crossing is None:
        return None
    return CrossingEntry(
        decision=part.decision,
        n_labels=part.crossing.n_labels,
        recorded_at=part.crossing.created_at,
    )


def fixed_sample(part: StratumReading) -> FixedSample | None:
    """What the fixed sample of one pair in ten would have cost; None for an empty population."""
    if part.design.n_population == 0:
        return None
    n = math.ceil(round(FIXED_SHARE * part.design.n_population, 6))
    took = f"decided after {part.n_labels:,}" if part.n_labels else "has not decided yet"
    return FixedSample(
        share=FIXED_SHARE,
        n_labels=n,
        sentence=(
            f"A fixed sample of {FIXED_SHARE:.0%} would have cost {n:,} labels, all of them before "
            f"anything may be read; this round {took}."
        ),
    )


def says(read: RoundReading) -> tuple[str, ...]:
    """The certificate in sentences: what it claims, and what it does not cover."""
    design = read.design
    sentences = [f"It speaks of {design.kind_of_label}: those of {design.label}."]
    for part in read.strata:
        sentences += _about(part)
    if design.safety != SafetyRule() and design.stratum(SAFETY) is None:
        sentences.append("No imported pair is safety-critical by the project's rule.")
    if design.is_active(MAIN):
        sentences.append("Slices carry no gate here: an active draw is not uniform within them.")
    return tuple(sentences)


def argilla_sentences(session: Session, read: RoundReading) -> list[str]:
    """What a reader must know of labels that were given in Argilla."""
    found = []
    votes = [vote for part in read.strata for vote in part.labels.vote_id if is_argilla(vote)]
    if votes:
        found.append(
            f"{len(votes):,} of the labels that it reads were given in Argilla. Which pairs are "
            "read was drawn; who labelled which was settled by Argilla's queue, and a person who "
            "searches there can choose, so figures by annotator describe and are no random sample."
        )
    if read.assisted:
        names = ", ".join(assisted_datasets(session, read.round.id, read.read_at))
        n = n_assisted(session, read.round.id, read.read_at)
        found.append(
            f"The AI's labels were shown to annotators in Argilla ({names}): this round cannot be "
            f"certified, and the {n:,} labels given there are kept but not read."
        )
    return found


def _about(part: StratumReading) -> list[str]:
    which = "safety-critical pairs" if part.design.name == SAFETY else "pairs"
    n = part.design.n_population
    found = []
    if part.design.name == SAFETY and not any(part.outcomes >= 0):
        found.append(
            f"It does not cover the {n:,} safety-critical pairs: no person has judged any of them."
        )
    else:
        found.append(_decided(part, f"the {n:,} {which}"))
    if part.design.excluded:
        reasons = ", ".join(f"{count:,} {why}" for why, count in part.design.excluded.items())
        found.append(
            f"It does not cover {sum(part.design.excluded.values()):,} {which} without a label "
            f"to audit ({reasons})."
        )
    if part.design.n_earlier:
        found.append(
            f"{part.design.n_earlier} earlier round(s) asked the same of these labels, so each "
            f"test ran at level {part.gate.alpha:g}; over all rounds a false certificate has a "
            f"chance below {2 * part.design.gate.alpha:g} on each side."
        )
    if part.crossing is not None and part.now.decision != part.decision:
        found.append(
            f"Votes were edited since: read again, the gate says {part.now.decision}; the first "
            "decision stands."
        )
    return found


def _decided(part: StratumReading, pairs: str) -> str:
    gate = part.gate
    above, below = f"{gate.trust_above:.1%}", f"{gate.warn_below:.1%}"
    claims = {
        "TRUST": f"people agree with the labels of {pairs} more than {above} of the time",
        "WARN": f"people agree with the labels of {pairs} less than {below} of the time",
        "BETWEEN": f"people's agreement with the labels of {pairs} is between {below} and {above}",
    }
    claim = claims.get(part.decision)
    if claim is None:
        return (
            f"UNDECIDED after {len(part.labels):,} labels on {pairs}: neither line is settled; the "
            "round can be extended along its draw."
        )
    return f"{part.decision}: {claim}, decided at label {part.n_labels:,} of the draw."
