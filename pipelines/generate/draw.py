"""The candidates of one prompt by one model, as rounds of requests: all at once, then what is near.

Each candidate has a seed of its own, derived from the run's seed, the prompt, the model and its
number, so candidates neither share their noise nor change when others are added.
"""

import hashlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass

from pipelines.errors import BadInput
from pipelines.generate.records import Candidate, Prompt
from pipelines.generate.similarity import WordPairs, is_near, word_pairs
from pipelines.models.engine import Reply, Request
from pipelines.models.spec import ModelSpec, hash_of

Draw = Generator[tuple[Request, ...], tuple[Reply, ...], tuple[Candidate, ...]]


@dataclass(frozen=True)
class Sampling:
    """How one model is sampled.

    Attributes:
        spec: The model.
        n_candidates: For each prompt.
        seed: Of the run.
        near: From which similarity candidates are near-identical; 0: never.
        resamples: How often a near-identical candidate is sampled again at most.
    """

    spec: ModelSpec
    n_candidates: int = 4
    seed: int = 0
    near: float = 0.9
    resamples: int = 3

    @property
    def hash(self) -> str:
        """Names all that a sample depends on. More candidates are more of the same samples."""
        return hash_of([self.spec.asked(), self.seed])

    def check(self) -> None:
        """Whether these settings can give different candidates.

        Raises:
            BadInput: They cannot.
        """
        if self.spec.temperature == 0.0 and self.n_candidates > 1:
            raise BadInput(
                f'model "{self.spec.name}": temperature 0 makes all {self.n_candidates} candidates '
                "the same; set a temperature, or n_candidates = 1"
            )


def draw(sampling: Sampling, prompt: Prompt, earlier: Sequence[Candidate] = ()) -> Draw:
    """Asks for a prompt's candidates until they are there, and differ or were tried often enough.

    Args:
        sampling: How.
        prompt: To what.
        earlier: Candidates of an earlier run under the same settings. Those that did not fail
            stay; the others are sampled anew, with other seeds.

    Returns:
        All candidates, by index; a failure is one of them.
    """
    done: dict[int, Candidate] = {}
    pairs: dict[int, WordPairs] = {}
    attempts = dict.fromkeys(range(sampling.n_candidates), 0)
    for one in earlier:
        if one.failure is None and one.response is not None:
            done[one.index], pairs[one.index] = one, word_pairs(one.response)
        elif one.index in attempts:
            attempts[one.index] = one.resampled + 1
    wanted = [index for index in attempts if index not in done]
    n_tried = 0
    while wanted:
        replies = yield tuple(_request(sampling, prompt, i, attempts[i]) for i in wanted)
        near = []
        for index, reply in zip(wanted, replies, strict=True):
            one = _candidate(sampling, prompt, index, attempts[index], reply)
            if one.failure is None and one.response is not None:
                pairs[index] = word_pairs(one.response)
                others = (text for other, text in pairs.items() if other != index)
                if is_near(pairs[index], others, sampling.near):
                    near.append(index)
                    one = one.model_copy(update={"near_identical": True})
                    # What is sampled again does not stand in the way of those after it.
                    del pairs[index]
            done[index] = one
        if n_tried == sampling.resamples:
            break
        n_tried += 1
        wanted = near
        for index in wanted:
            attempts[index] += 1
    return tuple(done[index] for index in sorted(done))


def most_requests(sampling: Sampling) -> int:
    """The most requests that one prompt can take."""
    return sampling.n_candidates + max(0, sampling.n_candidates - 1) * sampling.resamples


def seed_of(sampling: Sampling, prompt: Prompt, index: int, attempt: int) -> int:
    """A candidate's own seed: 31 bits, which every server takes."""
    told = [sampling.seed, prompt.id, prompt.text_hash(), sampling.spec.name, index, attempt]
    return int.from_bytes(hashlib.blake2b(repr(told).encode(), digest_size=4).digest()) >> 1


def first_round(sampling: Sampling, prompt: Prompt) -> tuple[Request, ...]:
    """What is asked first, for an estimate."""
    return tuple(_request(sampling, prompt, index, 0) for index in range(sampling.n_candidates))


def _request(sampling: Sampling, prompt: Prompt, index: int, attempt: int) -> Request:
    spec = sampling.spec
    return Request(
        messages=prompt.messages(spec.system),
        max_tokens=spec.max_tokens,
        temperature=spec.temperature,
        top_p=spec.top_p,
        seed=seed_of(sampling, prompt, index, attempt),
        stop=spec.stop,
    )


def _candidate(
    sampling: Sampling, prompt: Prompt, index: int, attempt: int, reply: Reply
) -> Candidate:
    failure, detail = reply.failure, reply.detail
    if failure is None and reply.finish == "length":
        failure = "truncated"
        detail = f"it was not done after max_tokens = {sampling.spec.max_tokens:,}, or the context"
    elif failure is None and not (reply.text or "").strip():
        failure, detail = "error", "the response is empty"
    return Candidate(
        prompt_id=prompt.id,
        prompt=prompt.prompt,
        model=sampling.spec.name,
        settings=sampling.hash,
        index=index,
        seed=seed_of(sampling, prompt, index, attempt),
        response=reply.text,
        finish=None if reply.text is None and reply.finish == "stop" else reply.finish,
        failure=failure,
        detail=detail,
        prompt_tokens=reply.prompt_tokens,
        completion_tokens=reply.completion_tokens,
        resampled=attempt,
        subset=prompt.subset,
        source=prompt.source,
        meta=prompt.meta,
    )
