"""What `workbench audit` prints, as lines of text."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.agreement.estimate import Estimate
from pipelines.disk import write_whole
from pipelines.errors import BadInput
from workbench.audit.certificate import fixed_sample, says
from workbench.audit.certificate_file import Certificate, Interval
from workbench.audit.design import RoundDesign, StratumDesign
from workbench.audit.draw import Drawn
from workbench.audit.reading import RoundReading, StratumReading
from workbench.audit.rounds import RoundSummary
from workbench.audit.verify import Verification


def design_lines(design: RoundDesign) -> list[str]:
    """What a draw would freeze."""
    lines = [
        f"round {design.name}: labels of {design.label}, {design.mode} draw, seed {design.seed}"
    ]
    for part in design.strata:
        lines.append(
            f"  {part.name:7} {part.n_asked:,} of {part.n_population:,} pairs; {_gate(part)}"
        )
        if part.excluded:
            why = ", ".join(f"{n:,} {reason}" for reason, n in part.excluded.items())
            lines.append(f"          not in N: {why}")
        if part.n_earlier:
            names = ", ".join(one.name for one in part.earlier_rounds if one.spends)
            lines.append(
                f"          earlier on the same labels: {names}; so alpha is {part.alpha:g}"
            )
    slices = ", ".join(design.slices) or "none"
    lines.append(
        f"  overlap {design.overlap:.0%} labelled twice; declared slices: {slices}; "
        f"edge cases: up to {design.edge_cases}"
    )
    n_asked = sum(part.n_asked for part in design.strata)
    hours = n_asked * (1 + design.overlap) * design.seconds_per_pair / 3600
    lines.append(f"  about {hours:.1f} hours at {design.seconds_per_pair:g} seconds a pair")
    return lines


def _gate(part: StratumDesign) -> str:
    gate = part.gate
    lines = f"TRUST above {gate.trust_above:.4g}, WARN below {gate.warn_below:.4g}"
    if gate.trust_above == gate.warn_below:
        lines = f"a single line at {gate.trust_above:.4g}"
    return f"{lines}, alpha {gate.alpha:g}, ties {gate.ties}"


def drawn_line(drawn: Drawn, project: Path) -> str:
    """What was queued, and the next command."""
    counts = ", ".join(f"{n:,} {name}" for name, n in drawn.n_new.items())
    where = "" if project == Path(".") else f" --project {project}"
    return f"queued in round {drawn.design.name}: {counts} pairs; next: workbench serve{where}"


def status_dict(read: RoundReading) -> dict[str, Any]:
    """The status of a round for a program."""
    return {
        "round": read.round.name,
        "label": read.design.label,
        "closed_at": read.round.closed_at,
        "decision": read.decision,
        "trusted": read.trusted,
        "says": says(read),
        "strata": {
            part.design.name: {
                "decision": part.decision,
                "n_labels_to_decision": part.n_labels,
                "n_drawn": part.labels.n_drawn,
                "n_read": len(part.labels),
                "n_waiting": part.labels.n_waiting,
                "alpha": part.gate.alpha,
                "now": part.now.as_dict(),
            }
            for part in read.strata
        },
    }


def status_lines(read: RoundReading) -> list[str]:
    """The status of a round for a person."""
    state = "closed" if read.round.closed_at else "open"
    lines = [f"round {read.round.name} ({state}): labels of {read.design.label}"]
    for part in read.strata:
        lines += _stratum_lines(part)
    return lines + [f"  {sentence}" for sentence in says(read)[1:]]


def _stratum_lines(part: StratumReading) -> list[str]:
    labels, now = part.labels, part.now
    waiting = f", {labels.n_waiting:,} more wait behind an open pair" if labels.n_waiting else ""
    lines = [
        f"  {part.design.name:7} {part.decision}",
        f"          {len(labels):,} of {labels.n_drawn:,} pairs read in draw order{waiting}",
        f"          {now.n_agree:,} agree, {now.n_disagree:,} disagree, {now.n_tie:,} human ties, "
        f"{now.n_unanswered:,} unanswered",
        f"          agreement {_interval(now.estimate)}",
    ]
    for test in now.tests:
        claim = f"{'above' if test.side == 'up' else 'below'} {test.tau:.4g}"
        crossed = f", crossed at label {test.crossed_at:,}" if test.crossed_at else ""
        lines.append(
            f"          {claim}: e-value {test.e_value:.3g} of {1 / part.gate.alpha:g} needed"
            f"{crossed}"
        )
    cost = fixed_sample(part)
    if cost is not None:
        lines.append(f"          {cost.sentence}")
    return lines


def _interval(estimate: Estimate | Interval | None) -> str:
    if estimate is None:
        return "not known yet (no decisive label)"
    return (
        f"{estimate.estimate:.3f} ({estimate.low:.3f} to {estimate.high:.3f}, {estimate.method}, "
        f"n = {estimate.n:,})"
    )


def certificate_lines(certificate: Certificate, out: Path | None) -> list[str]:
    """A certificate for a person."""
    lines = [
        f"{certificate.decision}: round {certificate.round}, labels of {certificate.design.label}"
    ]
    lines += [f"  {sentence}" for sentence in certificate.says]
    for part in certificate.strata:
        lines.append(
            f"  {part.name}: {part.n_read:,} labels read; agreement {_interval(part.agreement)}"
        )
        lines += [
            f"    with {person.annotator}: {_interval(person.agreement)}"
            for person in part.by_annotator
        ]
        for one in part.slices:
            kind = "" if one.declared else " (exploratory)"
            lines.append(f"    {one.slice} {one.value}{kind}: {_interval(one.agreement)}")
        if part.fixed_sample is not None:
            lines.append(f"    {part.fixed_sample.sentence}")
    ceiling = certificate.human_ceiling
    if ceiling is None:
        lines.append("  No pair has two people's labels, so the human-human ceiling is not known.")
    else:
        lines.append(f"  two people agree: {_interval(ceiling.agreement)}")
    if out is not None:
        lines.append(f"  written to {out}; anyone can check it: workbench audit verify {out}")
    return lines


def write_certificate(certificate: Certificate, out: Path) -> None:
    """Write a certificate, whole or not at all.

    Raises:
        BadInput: The file cannot be written.
    """
    if out.is_dir():
        raise BadInput(f"{out}: is a folder; name a file in it by --out")
    try:
        write_whole(out, certificate.as_json())
    except OSError as error:
        raise BadInput(
            f"{out}: cannot be written ({error.strerror}); choose another file"
        ) from error


def verification_lines(found: Verification) -> list[str]:
    """The outcome of a verification for a person."""
    lines = [
        f"{'match  ' if check.ok else 'DIFFERS'}  {check.name}: {check.detail}"
        for check in found.checks
    ]
    lines += [f"note     {note}" for note in found.notes]
    bad = sum(not check.ok for check in found.checks)
    lines.append("the certificate matches" if found.ok else f"{bad} of {len(found.checks)} differ")
    return lines


def list_lines(rounds: Sequence[RoundSummary]) -> list[str]:
    """One line a round, oldest first."""
    if not rounds:
        return ["no round has been drawn; `workbench audit draw` draws one"]
    lines = []
    for found in rounds:
        day = time.strftime("%Y-%m-%d", time.gmtime(found.created_at))
        state = "closed" if found.closed_at else "open"
        decided = ", ".join(f"{name} {what}" for name, what in found.decisions.items())
        lines.append(
            f"{found.name}  {day}  {state}  labels of {found.label}, {found.mode}: "
            f"{found.n_votes:,} votes on {found.n_pairs:,} pairs; {decided or 'not decided'}"
        )
    return lines
