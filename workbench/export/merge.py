"""A pair with what the rounds' people said among its human labels: the rows of `export pairs`."""

from collections.abc import Mapping
from typing import Any

from pipelines.records import HumanLabel, PreferencePair
from workbench.audit.argilla_votes import ASSISTED
from workbench.export.labels import PairLabels


def merged(
    pair: PreferencePair, drawn: PairLabels | None, aliases: Mapping[str, str] | None = None
) -> PreferencePair:
    """The pair with the rounds' labels merged, one per person of the rounds.

    A vote replaces the label that came with the pair under the same name, an adjudication the
    adjudicator's vote. `meta.audit` keeps what a list of labels cannot say: the draw, the
    adjudication, votes of "both are bad", error tags and ratings of each response; and labels that
    were given with the AI's in sight, which whoever reads the file must not take for blind ones.

    Args:
        pair: As imported.
        drawn: What the rounds know about it; None where no round drew it.
        aliases: Replaces people's names, where given.
    """
    given: dict[str, HumanLabel] = {}
    assisted: dict[str, str] = {}
    audit: dict[str, Any] = {}
    if drawn is not None:
        audit = {
            "round": drawn.round,
            "stratum": drawn.stratum,
            "inclusion_prob": drawn.inclusion_prob,
        }
        for vote in sorted(drawn.votes.values(), key=lambda vote: vote.created_at):
            if vote.origin == ASSISTED:
                assisted[_alias(vote.annotator, aliases)] = vote.label
                continue
            given[vote.annotator] = HumanLabel.model_validate(
                {
                    "annotator": vote.annotator,
                    "label": vote.label,
                    "comment": vote.comment,
                    "seconds": vote.seconds,
                }
            )
        if assisted:
            audit["assisted"] = dict(sorted(assisted.items()))
        both_bad = [vote.annotator for vote in drawn.votes.values() if vote.both_bad]
        if both_bad:
            audit["both_bad"] = sorted(_alias(name, aliases) for name in both_bad)
        remarks = {
            _alias(vote.annotator, aliases): vote.remarks.as_dict()
            for vote in drawn.votes.values()
            if vote.remarks
        }
        if remarks:
            audit["remarks"] = dict(sorted(remarks.items()))
        decision = drawn.adjudication
        if decision is not None:
            given[decision.annotator] = HumanLabel.model_validate(
                {
                    "annotator": decision.annotator,
                    "label": decision.label,
                    "comment": decision.comment,
                }
            )
            audit["adjudicated"] = decision.label
            audit["adjudicator"] = _alias(decision.annotator, aliases)
    labels = [label for label in pair.human if label.annotator not in given]
    labels += given.values()
    human = tuple(
        label.model_copy(update={"annotator": _alias(label.annotator, aliases)}) for label in labels
    )
    meta = {**pair.meta, "audit": audit} if audit else pair.meta
    return pair.model_copy(update={"human": human, "meta": meta})


def _alias(name: str, aliases: Mapping[str, str] | None) -> str:
    return name if aliases is None else aliases[name]
