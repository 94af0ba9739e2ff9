"""Verifying a certificate: replay the draw, read the labels as they stood, compute the gate again.

Each check answers with "match" or with exactly what differs. What was edited after the
certificate was made is no difference: votes are never overwritten, so the labels of that moment
can still be read.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from pipelines.errors import BadInput
from workbench.audit.certificate import certify_reading
from workbench.audit.certificate_file import Certificate
from workbench.audit.population import read_population
from workbench.audit.reading import read_as_of
from workbench.audit.rounds import pairs_drawn_in
from workbench.audit.verify_stratum import Check, StratumChecker, compare
from workbench.db.models import Round
from workbench.db.session import reading
from workbench.project import Project

__all__ = ["Check", "Verification", "verify"]


@dataclass(frozen=True)
class Verification:
    """All checks, and remarks that are no differences."""

    checks: tuple[Check, ...]
    notes: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether everything matches."""
        return all(check.ok for check in self.checks)


def verify(project: Project, certificate: Certificate) -> Verification:
    """Hold a certificate against the project's pairs and votes.

    Raises:
        BadInput: The project has no round of that name.
    """
    checks: list[Check] = []
    notes: list[str] = []
    with reading(project.engine) as session:
        found = session.scalars(select(Round).where(Round.name == certificate.round)).one_or_none()
        if found is None:
            raise BadInput(
                f"this project has no round {certificate.round!r}; verify the certificate in the "
                "project that it was made in"
            )
        checks.append(_design(certificate, found))
        design = certificate.design
        try:
            without = pairs_drawn_in(session, design.without_rounds)
            population = read_population(
                project, design.label, design.safety, design.n_imported, without
            )
        except BadInput as error:
            return Verification((*checks, Check("pairs", False, str(error))), ())
        for part in certificate.strata:
            declared = design.stratum(part.name)
            if declared is None:
                checks.append(Check(part.name, False, "the design has no such stratum"))
                continue
            checker = StratumChecker(
                project, session, certificate, part, declared, found.id, population
            )
            checks += checker.checks()
            notes += checker.notes()
        again = certify_reading(
            session, certificate.project, read_as_of(session, found, certificate.created_at)
        )
        rest = _unequal(again.model_dump(mode="json"), certificate.model_dump(mode="json"), "")
        checks.append(compare("everything else", rest, f"computed again: {again.decision}"))
    return Verification(tuple(checks), tuple(notes))


def _unequal(ours: Any, theirs: Any, where: str) -> Iterator[str]:
    """Every place at which the certificate differs from the one computed again."""
    name = where.rpartition(".")[2]
    if name in ("versions", "design", "labels"):
        return  # another machine may verify; design and labels have a check of their own
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted({*ours, *theirs}):
            yield from _unequal(ours.get(key), theirs.get(key), f"{where}.{key}".lstrip("."))
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for place, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from _unequal(one, other, f"{where}.{place}")
    elif isinstance(ours, float) and isinstance(theirs, float):
        if not math.isclose(ours, theirs, rel_tol=1e-6, abs_tol=1e-9):
            yield f"{where} is {theirs:.6g} here and {ours:.6g} computed again"
    elif ours != theirs:
        yield f"{where} is {_short(theirs)} here and {_short(ours)} computed again"


def _design(certificate: Certificate, found: Round) -> Check:
    def differences() -> Iterator[str]:
        if certificate.design.hash() != certificate.design_hash:
            yield "the certificate's design does not have the hash that stands beside it"
        ours, theirs = found.design, certificate.design.as_json()
        for name in sorted({*ours, *theirs}):
            if ours.get(name) != theirs.get(name):
                yield (
                    f"{name} is {_short(theirs.get(name))} here and {_short(ours.get(name))} in "
                    "the round"
                )
        if found.design_hash != certificate.design_hash:
            yield "the round was drawn with another design hash"

    return compare("design", differences(), f"hash {certificate.design_hash[:12]}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
