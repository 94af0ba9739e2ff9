"""What a run of `workbench revise` would ask and cost, before a cent is spent."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pipelines.constitution.log import LogState
from pipelines.constitution.loop import RevisePlan, Role, most_calls, principles_of_round
from pipelines.constitution.trajectory import Response
from pipelines.models.completions import Price, estimated_tokens, request_tokens
from pipelines.models.engine import Request

_SAMPLE = 200  # responses
_ENOUGH = 20  # trajectories in the log, after which it knows better than a guess


@dataclass(frozen=True)
class ReviseEstimate:
    """About a run. `least` is where every principle holds at once, `most` where none ever does.

    `likely_*` go by what the log counted under the same plan; None before it knows.
    """

    n_wanted: int
    n_pending: int
    least_requests: int
    most_requests: int
    likely_requests: int | None
    least_prompt_tokens: int
    most_prompt_tokens: int
    most_completion_tokens: int
    least_usd: float | None
    most_usd: float | None
    likely_usd: float | None


def estimate(
    plan: RevisePlan,
    responses: Iterable[Response],
    state: LogState,
    prices: Mapping[Role, Price | None],
    retry_failed: bool = False,
) -> ReviseEstimate:
    """What asking all that is pending would take.

    Args:
        plan: What is asked.
        responses: All that are wanted.
        state: What the log holds.
        prices: Of the critic and the reviser.
        retry_failed: Whether responses with failures begin anew.
    """
    n_wanted = n_pending = n_sampled = n_critique = n_revision = 0
    for response in responses:
        n_wanted += 1
        if state.attempt((response.id, response.text_hash()), retry_failed) is None:
            continue
        n_pending += 1
        if n_sampled < _SAMPLE:
            n_sampled += 1
            n_critique += _tokens_of_a_critique(plan, response)
            n_revision += _tokens_of_a_revision(plan, response)
    critique_in = n_critique / n_sampled if n_sampled else 0.0
    revision_in = n_revision / n_sampled if n_sampled else 0.0
    n_first = len(plan.constitution.principles)
    most_critiques, most_revisions = most_calls(plan)
    # With a random few, no round ends it early.
    least = most_critiques if plan.samples_principles else n_first
    critic, reviser = prices["critic"], prices["reviser"]
    least_usd = most_usd = None
    if critic is not None and reviser is not None:
        short = plan.critique_tokens // 4
        least_usd = n_pending * critic.usd(round(least * critique_in), least * short)
        most_usd = n_pending * (
            critic.usd(round(most_critiques * critique_in), most_critiques * plan.critique_tokens)
            + reviser.usd(
                round(most_revisions * revision_in), most_revisions * plan.revision_tokens
            )
        )
    likely, likely_usd = None, None
    if len(state.done) >= _ENOUGH:
        likely = round(n_pending * state.plan_spent.requests / len(state.done))
        if not state.plan_spent.n_unpriced:
            likely_usd = n_pending * state.plan_spent.usd / len(state.done)
    return ReviseEstimate(
        n_wanted=n_wanted,
        n_pending=n_pending,
        least_requests=n_pending * least,
        most_requests=n_pending * (most_critiques + most_revisions),
        likely_requests=likely,
        least_prompt_tokens=round(n_pending * least * critique_in),
        most_prompt_tokens=round(
            n_pending * (most_critiques * critique_in + most_revisions * revision_in)
        ),
        most_completion_tokens=n_pending
        * (most_critiques * plan.critique_tokens + most_revisions * plan.revision_tokens),
        least_usd=least_usd,
        most_usd=most_usd,
        likely_usd=likely_usd,
    )


def _tokens_of_a_critique(plan: RevisePlan, response: Response) -> int:
    """Of one request to the critic, the mean over the principles of the first round."""
    asked = principles_of_round(plan, response.id, 0)
    total = sum(
        request_tokens(Request(plan.prompts.to_critic(one, response.prompt, response.text)))
        for one in asked
    )
    return round(total / len(asked))


def _tokens_of_a_revision(plan: RevisePlan, response: Response) -> int:
    principle = plan.constitution.principles[0]
    messages = plan.prompts.to_reviser(principle, response.prompt, response.text, "")
    return request_tokens(Request(messages)) + estimated_tokens(4 * plan.critique_tokens, 0)
