"""The log-probabilities of two answer tokens, in one forward pass for many questions.

The preamble is computed once (`local_prefix`). What follows it is padded on the right: attention
is causal, so no token ever sees the padding behind it and no mask is needed. The vocabulary's
logits are computed for each row's last token only. Both orders of a pair are rows like others.
"""

from collections.abc import Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import torch

from pipelines.models.local_memory import Batch, TokenBudget, in_batches, out_of_memory
from pipelines.models.local_model import Loaded
from pipelines.models.local_prefix import Prefix, Prefixes

# The largest difference of the first answer's share that a shared prefix may make.
_TOLERANCE = {torch.float32: 1e-3}
_HALF_TOLERANCE = 0.1

LogProbs = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Question:
    """Tokens of a prompt, and the two tokens that may come next.

    `group` says which preamble it begins with; None for none that is shared.
    """

    ids: list[int]
    answers: tuple[int, int]
    group: Hashable | None = None


class Scorer:
    """Scores questions on one model."""

    def __init__(self, loaded: Loaded, prefixes: Prefixes, budget: TokenBudget, max_rows: int):
        self._loaded = loaded
        self._prefixes = prefixes
        self.budget = budget
        self._max_rows = max_rows
        self._checked = False
        config = loaded.model.config.get_text_config()
        # Others make masks of their own: windows, or biases by distance.
        self._one_mask = (
            config._attn_implementation == "sdpa"
            and getattr(config, "rope_parameters", None) is not None
            and getattr(config, "sliding_window", None) is None
            and not getattr(config, "alibi", False)
        )

    @property
    def shares(self) -> bool:
        """Whether preambles are computed once; no where the architecture does not allow it."""
        return self._prefixes.usable

    def score(self, questions: Sequence[Question]) -> Iterator[Batch[Question, LogProbs]]:
        """Scores all questions, batch by batch, in an order of its own.

        Natural logarithms of the probability of each answer among all tokens of the vocabulary;
        NaN where the model gave no number.
        """
        groups: dict[Hashable | None, list[Question]] = {}
        for question in questions:
            groups.setdefault(question.group, []).append(question)
        for group, members in groups.items():
            prefix = self._prefixes.of(group, [question.ids for question in members])
            if prefix is not None and not self._checked:
                self._check(prefix, min(members, key=lambda question: len(question.ids)))
                prefix = prefix if self._prefixes.usable else None
            yield from self._batches(members, prefix)

    def _batches(
        self, questions: list[Question], prefix: Prefix | None
    ) -> Iterator[Batch[Question, LogProbs]]:
        n_shared = len(prefix.ids) if prefix else 0

        def n_tokens(question: Question) -> int:
            # The shared ones are never computed and lie in memory for one layer at a time.
            return len(question.ids) - n_shared + n_shared // 4

        def run(batch: list[Question]) -> list[LogProbs]:
            return self._pass(batch, prefix)

        yield from in_batches(questions, n_tokens, run, self.budget, self._max_rows)

    @torch.inference_mode()
    def _pass(self, questions: list[Question], prefix: Prefix | None) -> list[LogProbs]:
        """One forward pass."""
        device = self._loaded.device
        start = len(prefix.ids) if prefix else 0
        rows = [question.ids[start:] for question in questions]
        width = max(map(len, rows))
        # Filled up with whatever: a padding token would only make some models warn.
        ids = torch.tensor([row + row[-1:] * (width - len(row)) for row in rows], device=device)
        last = torch.tensor([[len(row) - 1] for row in rows], device=device)
        answers = torch.tensor([question.answers for question in questions], device=device)
        shared: dict[str, Any] = {"use_cache": False}
        if prefix:
            positions = torch.arange(start, start + width, device=device)
            shared = {
                "use_cache": True,
                "past_key_values": prefix.borrowed(),
                "position_ids": positions.expand(len(rows), -1),
            }
            if self._one_mask:
                shared["attention_mask"] = self._mask(start, width)
        with self._in_float32(answers):
            logits = self._loaded.model(input_ids=ids, logits_to_keep=last, **shared).logits
        logprobs = torch.log_softmax(logits[:, 0].float(), dim=-1).gather(1, answers)
        return [(first, second) for first, second in logprobs.tolist()]

    def _mask(self, start: int, width: int) -> torch.Tensor:
        """What each of `width` positions from `start` on sees: itself and all before it.

        Added to attention scores. One for all rows; the library would make one for each, and turn
        it into numbers again in each layer.
        """
        model = self._loaded.model
        unseen = torch.full(
            (width, start + width),
            torch.finfo(model.dtype).min,
            dtype=model.dtype,
            device=self._loaded.device,
        )
        return unseen.triu(start + 1)[None, None]

    def _in_float32(self, answers: torch.Tensor) -> AbstractContextManager[None]:
        head = self._loaded.model.get_output_embeddings()
        if type(head) is torch.nn.Linear and head.weight.dtype != torch.float32:
            return _ExactAnswers(head, answers)
        return nullcontext()

    def _check(self, prefix: Prefix, question: Question) -> None:
        """Compares the fast way with the plain one, once: an architecture may be unlike others."""
        tolerance = _TOLERANCE.get(self._loaded.model.dtype, _HALF_TOLERANCE)
        try:
            shared = _first_share(self._pass([question], prefix)[0])
            plain = _first_share(self._pass([question], None)[0])
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            return  # there will be a shorter question
        self._checked = True
        if abs(shared - plain) > tolerance:  # never so for NaN, which is a failure either way
            self._prefixes.give_up(
                f"with its cache the first answer has {shared:.4f}, without it {plain:.4f}"
            )


class _ExactAnswers:
    """Computes the two answers' logits in float32, whatever the model computes in.

    bfloat16 has steps of 0.125 between logits of 16 and 32, and so a dozen different values of
    p_a in all; their product with the last hidden state costs nothing in float32.
    """

    def __init__(self, head: torch.nn.Linear, answers: torch.Tensor):
        """`answers`: token ids, shape (n_rows, 2)."""
        self._head = head
        self._answers = answers

    def __enter__(self) -> None:
        self._handle = self._head.register_forward_hook(self._replace)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._handle.remove()

    def _replace(
        self, head: torch.nn.Module, inputs: tuple[torch.Tensor, ...], logits: torch.Tensor
    ) -> torch.Tensor:
        weights = self._head.weight[self._answers].float()  # (n_rows, 2, hidden)
        exact = (weights * inputs[0].float()).sum(-1)  # inputs[0]: (n_rows, 1, hidden)
        if self._head.bias is not None:
            exact += self._head.bias[self._answers].float()
        return logits.float().scatter(2, self._answers[:, None], exact[:, None])


def _first_share(logprobs: LogProbs) -> float:
    """The first answer's probability when only the two are possible."""
    return float(torch.softmax(torch.tensor(logprobs), 0)[0])
