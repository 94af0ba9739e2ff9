"""What revision gives to training: demonstrations (SFT) and preference pairs, revised over first.

Only what the critic vouches for goes out: a demonstration ends with every principle kept; of a
pair, the revised response violates less weight than the first. The rest is counted, by reason.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import JsonValue

from pipelines.constitution.parse import Finding, write_critique
from pipelines.constitution.records import Constitution
from pipelines.constitution.trajectory import Response, Round, Trajectory
from pipelines.records import Judgment, Message, PreferencePair

Turn = dict[str, str]
NoPair = Literal["unchanged", "undecided", "not better"]

JUDGE = "revise"  # who says that the revised response is the better one


def turns(response: Response) -> list[Turn]:
    """The prompt as a conversation."""
    prompt: Iterable[Message] = (
        (Message(role="user", content=response.prompt),)
        if isinstance(response.prompt, str)
        else response.prompt
    )
    return [{"role": turn.role, "content": turn.content} for turn in prompt]


def sft_row(one: Trajectory, constitution_hash: str) -> dict[str, Any] | None:
    """Prompt and final response; None where the critic does not find every principle kept."""
    if one.ending != "satisfied":
        return None
    return {
        "prompt": turns(one.response),
        "completion": [{"role": "assistant", "content": one.final}],
        "id": one.id,
        "n_rounds": one.n_revised,
        "constitution": constitution_hash,
    }


def critique_rows(one: Trajectory, constitution: Constitution) -> list[dict[str, Any]]:
    """Prompt, response, critique and revision as one conversation, for each revision on the way.

    They teach a model to criticise and revise itself. None where the end was not satisfied.
    """
    if one.ending != "satisfied":
        return []
    rows, constitution_hash = [], constitution.hash()
    for number, each in enumerate(one.rounds):
        text = each.text
        for critique, revision in zip(each.violated(), each.revisions, strict=False):
            principle = constitution.principle(critique.principle)
            if revision.text in (None, text) or principle is None:
                continue
            said = Finding("violated", critique.why or "", critique.improve or "")
            rows.append(
                {
                    "messages": [
                        *turns(one.response),
                        {"role": "assistant", "content": text},
                        {"role": "user", "content": principle.critique_question},
                        {"role": "assistant", "content": write_critique(said)},
                        {"role": "user", "content": principle.revision_request},
                        {"role": "assistant", "content": revision.text},
                    ],
                    "id": one.id,
                    "round": number,
                    "principle": principle.id,
                    "constitution": constitution_hash,
                }
            )
            text = revision.text
    return rows


def preference_pair(
    one: Trajectory, constitution: Constitution, reviser: str
) -> PreferencePair | NoPair:
    """The revised response over the first, or why there is no such pair.

    Which of them is response_a is drawn by a hash of the id, so that places say nothing.
    """
    if not one.changed:
        return "unchanged"
    weights = {principle.id: principle.weight for principle in constitution.principles}
    first, last = one.rounds[0], one.rounds[-1]
    if any(critique.failure for critique in last.critiques):
        return "undecided"
    before, after = _weight(first, weights), _weight(last, weights)
    if after >= before:
        return "not better"
    a_is_first = hashlib.sha256(one.id.encode()).digest()[0] % 2 == 0
    texts = (one.response.text, one.final)
    faults: tuple[JsonValue, JsonValue] = (_violations(first), _violations(last))
    model = one.response.model
    models = (model, None if model is None else f"{model}+{reviser}")
    if not a_is_first:
        texts, faults = texts[::-1], faults[::-1]
    model_a, model_b = models if a_is_first else models[::-1]
    return PreferencePair(
        id=f"revised:{one.id}",
        prompt=one.response.prompt,
        response_a=texts[0],
        response_b=texts[1],
        model_a=model_a,
        model_b=model_b,
        ai=(
            Judgment(
                judge=JUDGE,
                label="B" if a_is_first else "A",
                rationale=_rationale(first),
            ),
        ),
        source=one.response.source or "revise",
        subset=one.response.subset,
        meta={
            "violations": {"a": faults[0], "b": faults[1]},
            "constitution": constitution.hash(),
            "revision_rounds": one.n_revised,
            "weight_violated_before": before,
            "weight_violated_after": after,
        },
    )


def pair_line(pair: PreferencePair) -> dict[str, Any]:
    """A line of the pairs file."""
    return pair.model_dump(mode="json", exclude_none=True, exclude={"human"})


def _weight(one: Round, weights: Mapping[str, float]) -> float:
    return sum(weights.get(critique.principle, 0.0) for critique in one.violated())


def _violations(one: Round) -> JsonValue:
    return [{"principle": critique.principle, "severity": "severe"} for critique in one.violated()]


def _rationale(first: Round) -> str:
    return "\n".join(f"{one.principle}: {one.why}" for one in first.violated())
