"""The card's section on what people said of the AI labels: certificates, and imported labels."""

from collections.abc import Iterator
from typing import Any

from workbench.export.markdown import count, estimate, table

Facts = dict[str, Any]


def audit_section(facts: Facts) -> Iterator[str]:
    """Paragraphs and tables."""
    if facts["n_votes"]:
        origins = ", ".join(f"{count(n)} {name}" for name, n in facts["vote_origins"].items())
        yield f"{count(facts['n_votes'])} votes were given in audit rounds (by origin: {origins})."
    else:
        yield "No vote was given in an audit round."
    for certificate in facts["certificates"]:
        yield from _certificate(certificate)
    if facts["other_rounds"]:
        others = ", ".join(f"{name} ({label})" for name, label in facts["other_rounds"].items())
        yield f"Rounds that audited another label, so that nothing follows for these: {others}."
    if facts["imported_labels"]:
        yield from _imported(facts["imported_labels"])


def _certificate(certificate: Facts) -> Iterator[str]:
    design = certificate["design"]
    yield f"### Round {certificate['round']}: {certificate['decision']}"
    yield " ".join(certificate["says"]) + f" Drawn {design['mode']} with seed {design['seed']}."
    yield table(
        ["stratum", "decision", "agreement of the AI label with one person", "labels", "gate"],
        [_stratum(design, part) for part in certificate["strata"]],
    )
    for part in certificate["strata"]:
        if part["fixed_sample"]:
            yield f"{part['name']}: {part['fixed_sample']['sentence']}"
    ceiling = certificate["human_ceiling"]
    rows = [
        ["two people, A, B and tie alike", estimate(ceiling and ceiling["agreement"])],
        ["two people, where neither said tie", estimate(ceiling and ceiling["decisive"])],
    ]
    yield table(["the human ceiling", "agreement with each other [interval]"], rows)
    yield table(
        ["stratum", "in N", "left N, and why", "earlier rounds on these labels"],
        [_population(design, part) for part in certificate["strata"]],
    )
    hashes = [["design", certificate["design_hash"]]]
    for part in certificate["strata"]:
        hashes.append([f"{part['name']}: drawn pairs", part["pairs_hash"]])
        hashes.append([f"{part['name']}: labels read", part["labels_hash"]])
    yield table(["SHA-256 of", ""], [[name, f"`{value}`"] for name, value in hashes])


def _stratum(design: Facts, part: Facts) -> list[str]:
    declared = _declared(design, part)
    tests = "; ".join(
        f"{test['name']} {test['max_e_value']:.3g}"
        + (f", crossed at label {test['crossed_at']}" if test["crossed_at"] else "")
        for test in part["tests"]
    )
    gate = declared["gate"]
    lines = f"TRUST above {gate['trust_above']}, WARN below {gate['warn_below']}"
    labels = f"{count(part['n_read'])} read of {count(part['n_drawn'])} drawn"
    if part["n_labels_to_decision"]:
        labels += f"; decided at label {count(part['n_labels_to_decision'])}"
    return [
        part["name"],
        part["decision"],
        estimate(part["agreement"]),
        labels,
        f"{lines}, alpha {part['alpha']:g}, ties {gate['ties']}; largest e-value by test: "
        f"{tests or 'none read'}",
    ]


def _population(design: Facts, part: Facts) -> list[str]:
    left = ", ".join(f"{count(n)} {why}" for why, n in part["excluded"].items()) or "none"
    earlier = ", ".join(
        f"{one['name']} ({one['decision'] or 'undecided'})"
        for one in _declared(design, part)["earlier_rounds"]
    )
    return [part["name"], count(part["n_population"]), left, earlier or "none"]


def _declared(design: Facts, part: Facts) -> Facts:
    found: Facts = next(one for one in design["strata"] if one["name"] == part["name"])
    return found


def _imported(imported: Facts) -> Iterator[str]:
    yield "### Human labels that came with the pairs"
    yield (
        f"{count(imported['n_labels'])} labels by {count(imported['n_annotators'])} people on "
        f"{count(imported['n_pairs'])} pairs. They describe and certify nothing: nobody knows how "
        "those pairs were chosen."
    )
    yield table(
        ["on these pairs", "agreement [interval]"],
        [
            ["AI label with the human majority", estimate(imported["agreement"])],
            ["two people with each other (the ceiling)", estimate(imported["human_human"])],
        ],
    )
