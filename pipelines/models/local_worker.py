"""Requests of an engine to work on a loaded model, and its results to replies."""

import math
import threading
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic

from pipelines.errors import BadInput
from pipelines.models.engine import Key, Reply, Request
from pipelines.models.local import LocalModel
from pipelines.models.local_chat import Chat
from pipelines.models.local_generation import Prompt, Writer, Written
from pipelines.models.local_memory import TokenBudget, TokenCost
from pipelines.models.local_model import Loaded
from pipelines.models.local_prefix import Prefixes
from pipelines.models.local_scoring import LogProbs, Question, Scorer


@dataclass(frozen=True, slots=True)
class Asked(Generic[Key]):
    """A request as the model sees it; exactly one of the last three."""

    key: Key
    question: Question | None = None
    prompt: Prompt | None = None
    reply: Reply | None = None


class Worker:
    """A loaded model that answers. `prepare` may run beside `answer`, in another thread."""

    def __init__(self, loaded: Loaded, settings: LocalModel):
        """Takes the limits from `settings`.

        Raises:
            BadInput: The chat template cannot be used.
        """
        self._loaded = loaded
        self._price = settings.price
        self._chat = Chat(loaded.name, loaded.tokenizer)
        self._known_answers: set[tuple[str, str]] = set()
        prefixes = Prefixes(loaded)
        cost = TokenCost.of(loaded.model.config, loaded.model.dtype)
        share, ceiling = settings.memory_share, settings.max_batch_tokens

        def budget(bytes_per_token: int) -> TokenBudget:
            return TokenBudget.of_memory(loaded.device, bytes_per_token, share, ceiling)

        continuous = settings.continuous
        if continuous is None:
            continuous = loaded.device.type == "cuda"
        self.scorer = Scorer(
            loaded,
            prefixes,
            budget(cost.activations).no_more_than_enough(loaded.device),
            settings.max_batch,
        )
        self.writer = Writer(
            loaded,
            prefixes,
            budget(cost.activations + cost.cache),
            settings.max_batch,
            continuous,
        )

    @property
    def device(self) -> str:
        """Where the model is, as torch names it."""
        return str(self._loaded.device)

    def prepare(self, requests: Sequence[tuple[Key, Request]]) -> list[Asked[Key]]:
        """Makes tokens of the messages; what cannot be asked gets its reply here.

        Raises:
            BadInput: An answer is not a single token, and never was with this model.
        """
        tokens = self._chat.tokens([request.messages for _, request in requests])
        return [
            self._prepared(key, request, ids)
            for (key, request), ids in zip(requests, tokens, strict=True)
        ]

    def answer(
        self, asked: Sequence[Asked[Key]], stopped: threading.Event
    ) -> Iterator[list[tuple[Key, Reply]]]:
        """Replies to all of these, batch by batch: what is quick first.

        Args:
            asked: From `prepare`.
            stopped: Set when nobody waits for the replies any more.
        """
        refused = [(one.key, one.reply) for one in asked if one.reply is not None]
        if refused:
            yield refused
        questions = {id(one.question): one.key for one in asked if one.question is not None}
        for scored in self.scorer.score([one.question for one in asked if one.question]):
            yield [
                (questions[id(question)], self._scored(question, logprobs))
                for question, logprobs in scored.pairs()
            ]
            if stopped.is_set():
                return
        prompts = {id(one.prompt): one.key for one in asked if one.prompt is not None}
        for written in self.writer.write([one.prompt for one in asked if one.prompt], stopped):
            if stopped.is_set():
                return
            yield [
                (prompts[id(prompt)], self._written(prompt, text))
                for prompt, text in written.pairs()
            ]

    def _prepared(self, key: Key, request: Request, ids: list[int] | str) -> Asked[Key]:
        if isinstance(ids, str):
            return Asked(key, reply=_failure(ids))
        context = self._loaded.context
        n_needed = len(ids) + (request.answers is None)
        if context is not None and n_needed > context:
            return Asked(
                key,
                reply=_failure(
                    f"the prompt of {len(ids):,} tokens is longer than the context of "
                    f"{self._loaded.name} ({context:,} tokens)"
                ),
            )
        if max(ids) >= self._loaded.n_tokens:
            return Asked(
                key,
                reply=_failure(
                    f"the prompt holds a token that {self._loaded.name} has no embedding for; take "
                    "the tokenizer that the model was trained with"
                ),
            )
        group: Hashable | None = None
        if request.shared_chars:
            first = request.messages[0]
            group = first.role, first.content[: request.shared_chars]
        if request.answers is None:
            return Asked(
                key,
                prompt=Prompt(
                    ids,
                    request.max_tokens,
                    request.temperature,
                    request.seed,
                    request.stop,
                    group,
                    request.top_p,
                ),
            )
        try:
            answers = self._chat.answers(request.messages, request.answers)
        except BadInput as error:
            # The first one says that the template does not suit the model; a later one, that the
            # text before this one answer does not.
            if request.answers not in self._known_answers:
                raise
            return Asked(key, reply=_failure(str(error)))
        self._known_answers.add(request.answers)
        return Asked(key, question=Question(ids, answers, group))

    def _scored(self, question: Question, logprobs: LogProbs | None) -> Reply:
        if logprobs is None:
            return self._too_large(len(question.ids))
        if not all(map(math.isfinite, logprobs)):
            return _failure(f"{self._loaded.name} gave no probabilities, but not-a-number")
        return Reply(
            answer_logprobs=logprobs,
            prompt_tokens=len(question.ids),
            completion_tokens=1,
            cost_usd=self._price.usd(len(question.ids), 1),
        )

    def _written(self, prompt: Prompt, written: Written | None) -> Reply:
        if written is None:
            return self._too_large(len(prompt.ids) + prompt.max_tokens)
        return Reply(
            text=written.text,
            finish=written.finish,
            prompt_tokens=len(prompt.ids),
            completion_tokens=written.n_tokens,
            cost_usd=self._price.usd(len(prompt.ids), written.n_tokens),
        )

    def _too_large(self, n_tokens: int) -> Reply:
        return _failure(
            f"{n_tokens:,} tokens alone do not fit into the memory of {self.device}; use a smaller "
            "model, four_bit or a shorter prompt"
        )


def _failure(detail: str) -> Reply:
    return Reply(failure="error", detail=detail)
