"""What the sandbox knows of two policies' responses, beside what judges and people say of them."""

from collections.abc import Sequence
from itertools import combinations

from pipelines.agreement.estimate import Estimate
from pipelines.generate.records import Candidate, text_hash
from pipelines.sandbox.annotators import situation_in
from pipelines.sandbox.world_outcomes import true_win_rate


def true_rates(
    candidates: Sequence[Candidate], policies: Sequence[str], confidence: float
) -> dict[tuple[str, str], Estimate]:
    """Win rates of every two policies by the sandbox's own rules, ties half.

    Args:
        candidates: Of all policies; failed ones meet nobody.
        policies: Names, in the order of the evaluation.
        confidence: Of the intervals.

    Returns:
        By (later policy, earlier one); empty where a prompt is none of the sandbox's.
    """
    situations = {text_hash(one.prompt): situation_in(one.prompt) for one in candidates}
    replies: dict[str, dict[str, str]] = {name: {} for name in policies}
    for one in candidates:
        if one.failure is None and one.response is not None:
            replies[one.model][text_hash(one.prompt)] = one.response
    found: dict[tuple[str, str], Estimate] = {}
    for earlier, later in combinations(policies, 2):
        both = [
            (situations[key], reply, replies[earlier][key])
            for key, reply in replies[later].items()
            if key in replies[earlier]
        ]
        known = [(situation, a, b) for situation, a, b in both if situation is not None]
        if not known or len(known) < len(both):
            return {}
        told, a, b = zip(*known, strict=True)
        found[later, earlier] = true_win_rate(told, a, b, confidence=confidence)
    return found
