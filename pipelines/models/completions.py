"""The chat completions protocol as pure functions: a request to JSON, an answer to a `Reply`.

Used by the endpoint's client and by batch files alike. Nothing here does I/O.

Source: the "Create chat completion" reference of the OpenAI API, as vLLM and SGLang follow it.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pipelines.models.engine import Finish, Reply, Request

_FINISH: dict[str, Finish] = {"stop": "stop", "length": "length", "content_filter": "refused"}
_REFUSAL_WORDS = ("content_filter", "content_policy", "content management policy")
_SHOWN_CHARS = 300

# throttled: too many calls. down: no answer. broken: an answer that is none. These may work later.
# question: this request never will. setting: no request will. refused: by a content filter.
TroubleKind = Literal[
    "throttled", "down", "broken", "question", "setting", "refused", "no_logprobs"
]


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why there is no reply; `detail` is part of a sentence."""

    kind: TroubleKind
    detail: str
    code: str = ""


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars per million tokens."""

    usd_per_1m_input: float
    usd_per_1m_output: float

    def usd(self, prompt_tokens: int, completion_tokens: int) -> float:
        """What these tokens cost."""
        return (
            prompt_tokens * self.usd_per_1m_input + completion_tokens * self.usd_per_1m_output
        ) / 1e6


def request_body(
    request: Request,
    model: str,
    extra: Mapping[str, Any],
    top_logprobs: int = 20,
    max_tokens_key: str = "max_tokens",
) -> dict[str, Any]:
    """The JSON object to send."""
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": turn.role, "content": turn.content} for turn in request.messages],
        "temperature": request.temperature,
        max_tokens_key: request.max_tokens,
    }
    if request.answers is not None:
        body[max_tokens_key] = 1
        body["logprobs"] = True
        body["top_logprobs"] = top_logprobs
    if request.stop:
        body["stop"] = list(request.stop)
    if request.top_p < 1.0:
        body["top_p"] = request.top_p
    if request.seed is not None:
        body["seed"] = request.seed
    body.update(extra)
    return body


def read_completion(request: Request, payload: bytes, price: Price | None) -> Reply | Trouble:
    """The reply that the body of a 200 holds, or what is wrong with it."""
    try:
        answer = json.loads(payload)
        choice = answer["choices"][0]
        message = choice.get("message") or {}
        finish = choice.get("finish_reason")
        text, refusal = message.get("content"), message.get("refusal")
        n_in, n_out = _usage(answer, request)
    except ValueError:  # of json, and of bytes that are no UTF-8
        return Trouble("broken", f"its answer is not JSON: {shown(payload)}")
    except (LookupError, TypeError, AttributeError):
        return _without_choices(payload)
    cost = None if price is None else price.usd(n_in, n_out)
    if refusal or finish == "content_filter":
        return Reply(
            failure="refused",
            detail=f"refused: {shown(str(refusal)) if refusal else 'the content filter'}",
            finish="refused",
            prompt_tokens=n_in,
            completion_tokens=n_out,
            cost_usd=cost,
        )
    if request.answers is not None:
        logprobs = _answer_logprobs(choice, request.answers)
        if isinstance(logprobs, Trouble):
            return logprobs
        if isinstance(logprobs, str):
            return Reply(
                failure="unparsed",
                detail=logprobs,
                prompt_tokens=n_in,
                completion_tokens=n_out,
                cost_usd=cost,
            )
        return Reply(
            answer_logprobs=logprobs,
            prompt_tokens=n_in,
            completion_tokens=n_out,
            cost_usd=cost,
        )
    if not isinstance(text, str):
        return Trouble("broken", f"its answer holds no text: {shown(payload)}")
    return Reply(
        text=_clean(text),
        finish=_FINISH.get(finish, "stop") if isinstance(finish, str) else "stop",
        prompt_tokens=n_in,
        completion_tokens=n_out,
        cost_usd=cost,
    )


def read_refusal(status: int, payload: bytes | None) -> Trouble:
    """What an answer other than 200 means."""
    message, code = _error_of(payload or b"")
    said = f"HTTP {status}: {message}" if message else f"HTTP {status}"
    about = f"{code} {message}".lower()
    if status in (400, 403, 422) and any(word in about for word in _REFUSAL_WORDS):
        return Trouble("refused", said, code)
    if status in (401, 402) or code == "insufficient_quota":
        return Trouble("setting", said, code)
    if status in (429, 503):
        return Trouble("throttled", said, code)
    if status in (408, 409, 425) or status >= 500:
        return Trouble("down", said, code)
    if status in (403, 404, 405) or 300 <= status < 400:
        return Trouble("setting", said, code)
    return Trouble("question", said, code)


def shown(text: str | bytes) -> str:
    """The start of something a server said, safe to print in one line."""
    if isinstance(text, bytes):
        text = text[: 4 * _SHOWN_CHARS].decode("utf-8", "replace")
    line = " ".join(_clean(text[: 2 * _SHOWN_CHARS]).split())
    line = "".join(letter if letter.isprintable() else "\ufffd" for letter in line)
    return line if len(line) <= _SHOWN_CHARS else line[: _SHOWN_CHARS - 1] + "…"


def estimated_tokens(n_ascii: int, n_other: int) -> int:
    """About how many tokens a text has: 4 ASCII characters to one, others one by one."""
    return n_ascii // 4 + n_other + 1


def request_tokens(request: Request) -> int:
    """About how many tokens a request's messages have; template tokens are guessed as 8 a turn."""
    total = 0
    for turn in request.messages:
        text = turn.content
        n_ascii = len(text) if text.isascii() else sum(map(str.isascii, text))
        total += estimated_tokens(n_ascii, len(text) - n_ascii) + 8
    return total


def _usage(answer: dict[str, Any], request: Request) -> tuple[int, int]:
    """Tokens in and out as the server counts them; guessed where it does not."""
    usage = answer.get("usage")
    if isinstance(usage, dict):
        n_in, n_out = usage.get("prompt_tokens"), usage.get("completion_tokens")
        if isinstance(n_in, int) and isinstance(n_out, int) and n_in >= 0 and n_out >= 0:
            return n_in, n_out
    text = (answer["choices"][0].get("message") or {}).get("content") or ""
    return request_tokens(request), len(text) // 4 + 1


def _answer_logprobs(
    choice: dict[str, Any], answers: tuple[str, str]
) -> tuple[float, float] | str | Trouble:
    """Log-probabilities of the two answers as the first token.

    Tokens that read the same without the white space around them (" A", "A") count together. An
    answer that is not listed has at most the probability of the least likely token listed, and at
    most what all listed ones leave; it is given the smaller, so it is never taken as 0.

    Returns:
        The two values; a sentence when neither is listed; `Trouble` without any log-probabilities.
    """
    try:
        listed = [
            (entry["token"], float(entry["logprob"]))
            for entry in choice["logprobs"]["content"][0]["top_logprobs"]
        ]
    except (LookupError, TypeError, ValueError):
        listed = []
    if not listed:
        return Trouble("no_logprobs", "its answer holds no log-probabilities")
    mass = [0.0, 0.0]
    total, least = 0.0, math.inf
    for token, logprob in listed:
        if math.isnan(logprob) or not isinstance(token, str):
            return Trouble("broken", "its log-probabilities are not numbers")
        probability = math.exp(min(logprob, 0.0))
        total += probability
        least = min(least, probability)
        text = token.strip()
        for place, answer in enumerate(answers):
            if text == answer:
                mass[place] += probability
    if mass == [0.0, 0.0]:
        tokens = ", ".join(repr(shown(token)[:20]) for token, _ in listed[:5])
        return (
            f'neither "{answers[0]}" nor "{answers[1]}" is among the {len(listed)} likeliest '
            f"first tokens ({tokens}, ...)"
        )
    unlisted = max(min(least, 1.0 - total), 1e-10)
    first, second = (math.log(part or unlisted) for part in mass)
    return first, second


def _without_choices(payload: bytes) -> Trouble:
    """Some servers send an error with status 200."""
    message, code = _error_of(payload)
    if message:
        return Trouble("broken", f"it answered with an error: {message}", code)
    return Trouble("broken", f"its answer has no choices: {shown(payload)}")


def _error_of(payload: bytes) -> tuple[str, str]:
    """The message and code of an error body, in the shapes that servers use; else its start."""
    try:
        answer = json.loads(payload)
    except ValueError:
        return shown(payload), ""
    if isinstance(answer, list) and answer:  # Google's endpoint wraps it
        answer = answer[0]
    error = answer.get("error", answer) if isinstance(answer, dict) else answer
    if isinstance(error, dict):
        message = error.get("message") or error.get("detail") or ""
        code = error.get("code") or error.get("type") or ""
        return shown(message if isinstance(message, str) else json.dumps(message)), str(code)
    return (shown(error), "") if isinstance(error, str) else ("", "")


def _clean(text: str) -> str:
    """Without lone surrogates, which no UTF-8 file can hold."""
    if text.isascii():
        return text
    return text.encode("utf-8", "replace").decode("utf-8")
