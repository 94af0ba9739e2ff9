"""What a run would ask, cost and take, before a cent is spent."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.generate.draw import Sampling, first_round, most_requests
from pipelines.generate.log import LogState
from pipelines.generate.manifest import GenerateManifest
from pipelines.generate.records import Prompt
from pipelines.models.completions import request_tokens
from pipelines.models.opening import price_of

_ENOUGH = 50  # requests in the log, after which it knows better than a guess
_WRITTEN_SHARE = 0.5  # of max_tokens: half is a guess
# Of a server that nobody measured: seconds to the first token, and tokens a second after it.
_FIRST_TOKEN_S, _TOKENS_PER_S = 0.5, 50.0


@dataclass(frozen=True)
class Estimate:
    """About a run of one model.

    Attributes:
        model: Its name.
        n_prompts: All.
        n_pending: Prompts that lack candidates.
        n_requests: Requests for them when none has to be sampled again.
        most_requests: The most that they can take.
        prompt_tokens: Tokens that are sent by `n_requests`.
        completion_tokens: Tokens that come back.
        usd: What that costs; None without a price.
        most_usd: The most that all could cost.
        seconds: How long it takes at full concurrency.
        measured: "log" (tokens as counted before), or "guess".
        speed: "log" (as fast as the last run), or "guess".
    """

    model: str
    n_prompts: int
    n_pending: int
    n_requests: int
    most_requests: int
    prompt_tokens: int
    completion_tokens: int
    usd: float | None
    most_usd: float | None
    seconds: float
    measured: str
    speed: str


def estimate(
    prompts: Sequence[Prompt],
    due: Sequence[Prompt],
    sampling: Sampling,
    state: LogState,
    manifest: GenerateManifest,
) -> Estimate:
    """What asking all that is pending would take.

    Args:
        prompts: All of them.
        due: Those that are pending.
        sampling: How.
        state: What the log holds.
        manifest: The runs so far.
    """
    spec = sampling.spec
    n_requests = len(due) * sampling.n_candidates
    most = len(due) * most_requests(sampling)
    sent = sum(
        request_tokens(request) for prompt in due for request in first_round(sampling, prompt)[:1]
    )
    n_in = sent * sampling.n_candidates
    written, measured = _WRITTEN_SHARE * spec.max_tokens, "guess"
    if state.n_asked >= _ENOUGH:
        written, measured = state.tokens[1] / state.n_asked, "log"
    n_out = round(n_requests * written)
    price = price_of(spec)
    rate = _rate(manifest, sampling.hash)
    window = spec.concurrency if spec.engine == "endpoint" else spec.local.max_batch
    if rate is None:
        each = _FIRST_TOKEN_S + written / _TOKENS_PER_S
        seconds = n_requests * each / min(window, max(1, n_requests))
    else:
        seconds = n_requests / rate
    again = most / n_requests if n_requests else 1.0
    return Estimate(
        model=spec.name,
        n_prompts=len(prompts),
        n_pending=len(due),
        n_requests=n_requests,
        most_requests=most,
        prompt_tokens=n_in,
        completion_tokens=n_out,
        usd=None if price is None else price.usd(n_in, n_out),
        most_usd=None if price is None else price.usd(round(n_in * again), most * spec.max_tokens),
        seconds=seconds,
        measured=measured,
        speed="guess" if rate is None else "log",
    )


def _rate(manifest: GenerateManifest, settings: str) -> float | None:
    """Requests a second in the latest run of these settings that lasted long enough to tell."""
    for run in reversed(manifest.runs):
        if run.settings_hash == settings and run.seconds and run.spent.requests >= _ENOUGH:
            return run.spent.requests / run.seconds
    return None
