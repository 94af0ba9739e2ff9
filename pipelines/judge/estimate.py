"""What a run would ask, cost and take, before a cent is spent."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.judge.index import LogIndex
from pipelines.judge.manifest import JudgeManifest
from pipelines.judge.runner import Question
from pipelines.models.completions import request_tokens
from pipelines.models.engine import Request
from pipelines.records import Order, PreferencePair
from pipelines.store import PairStore

_SAMPLE = 400  # pairs, spread evenly
_ENOUGH = 50  # requests in the log, after which it knows better than a guess
_WRITTEN_SHARE = 0.5  # of the tokens that a text may have: half is a guess
# Of a server that nobody measured: seconds to the first token, and tokens a second after it.
_FIRST_TOKEN_S, _TOKENS_PER_S = 0.5, 50.0


@dataclass(frozen=True)
class Estimate:
    """About a run; `measured` says whether the log or a guess knows the tokens.

    Attributes:
        judge: Its name.
        n_wanted: Judgments that are wanted, all in all.
        n_pending: Judgments that would be made.
        n_requests: Requests for them.
        prompt_tokens: Tokens that are sent.
        completion_tokens: Tokens that come back.
        most_completion_tokens: The most that could.
        usd: What it costs; None without a price.
        most_usd: The most that it could cost.
        seconds: How long it takes at full concurrency.
        measured: "log" (tokens as counted before), or "guess" (from the questions' length).
        speed: "log" (as fast as the last run), or "guess".
    """

    judge: str
    n_wanted: int
    n_pending: int
    n_requests: int
    prompt_tokens: int
    completion_tokens: int
    most_completion_tokens: int
    usd: float | None
    most_usd: float | None
    seconds: float
    measured: str
    speed: str


def estimate(
    store: PairStore,
    question: Question,
    index: LogIndex,
    manifest: JudgeManifest,
    calls_per_judgment: int,
    window: int,
    retry_failed: bool = False,
) -> Estimate:
    """What asking all that is pending would take.

    Args:
        store: The project's pairs.
        question: What is asked.
        index: What the log holds.
        manifest: The runs so far.
        calls_per_judgment: Requests of one judgment, by its mode.
        window: Requests in flight.
        retry_failed: Whether failures are asked again.
    """
    pending = index.pending(retry_failed)
    n_pending = int(pending.sum())
    n_requests = n_pending * calls_per_judgment
    sent, most_written = _of_one_judgment(
        store, question, np.logical_or.reduce(pending, axis=1), calls_per_judgment
    )
    written = _WRITTEN_SHARE * most_written if most_written > calls_per_judgment else most_written
    measured = "guess"
    if index.n_asked >= _ENOUGH:
        per_judgment = calls_per_judgment / index.n_asked
        sent, written = (total * per_judgment for total in index.tokens)
        most_written = max(most_written, written)
        measured = "log"
    n_in, n_out, most_out = (round(n_pending * each) for each in (sent, written, most_written))
    price = question.price
    rate = _rate(manifest, question.hash)
    if rate is None:
        each = _FIRST_TOKEN_S + (written / calls_per_judgment) / _TOKENS_PER_S
        seconds = n_requests * each / window
    else:
        seconds = n_pending / rate
    return Estimate(
        judge=question.spec.name,
        n_wanted=index.n_wanted,
        n_pending=n_pending,
        n_requests=n_requests,
        prompt_tokens=n_in,
        completion_tokens=n_out,
        most_completion_tokens=most_out,
        usd=None if price is None else price.usd(n_in, n_out),
        most_usd=None if price is None else price.usd(n_in, most_out),
        seconds=seconds,
        measured=measured,
        speed="guess" if rate is None else "log",
    )


def _of_one_judgment(
    store: PairStore, question: Question, rows: npt.NDArray[np.bool_], n_calls: int
) -> tuple[float, float]:
    """Mean tokens sent, and most tokens written, by the requests of one judgment.

    The first round of requests is built as it will be sent; later rounds are taken to be as long,
    and to hold what was written before.
    """
    places = np.flatnonzero(rows)
    if not places.size:
        return 0.0, 0.0
    wanted = np.zeros(len(rows), dtype=np.bool_)
    wanted[places[np.linspace(0, len(places) - 1, _SAMPLE).astype(int)]] = True
    sent, written = [], []
    for _, pair in store.iter_texts(wanted):
        for order in question.orders:
            first = _first_round(question, pair, order)
            if not first:
                sent.append(0.0)
                written.append(0.0)
                continue
            more = max(0, n_calls - len(first))
            each = sum(map(request_tokens, first)) / len(first)
            out = [1 if one.answers is not None else one.max_tokens for one in first]
            longest = max(out)
            sent.append(sum(map(request_tokens, first)) + more * (each + _WRITTEN_SHARE * longest))
            # What follows a rationale is the question about it, of one token.
            written.append(sum(out) + more)
    return float(np.mean(sent)), float(np.mean(written))


def _first_round(
    question: Question, pair: PreferencePair, order: Order | None
) -> tuple[Request, ...]:
    steps = question.ask(pair, order)
    requests = next(steps, ())
    steps.close()
    return requests


def _rate(manifest: JudgeManifest, spec_hash: str) -> float | None:
    """Judgments a second in the latest run of this question that lasted long enough to tell."""
    for run in reversed(manifest.runs):
        n = run.n_judged + run.n_failed
        if run.spec_hash == spec_hash and run.seconds and n >= _ENOUGH:
            return n / run.seconds
    return None
