"""Writes text: greedily or sampled, batched, with a seed and an end of its own for each prompt.

A sample does not depend on what else is in its batch: each row draws its own Gumbel noise, and the
greatest noisy logit is a sample at that temperature (Gumbel 1954; Maddison et al. 2014,
arXiv:1411.0030). So a seed and a prompt name a sample, also after a restart.
"""

import copy
import hashlib
import logging
import threading
from array import array
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import (
    ContinuousBatchingConfig,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
)

from pipelines.models.engine import Finish
from pipelines.models.local_memory import Batch, TokenBudget, in_batches
from pipelines.models.local_model import Loaded
from pipelines.models.local_prefix import Prefix, Prefixes

_PAGE_TOKENS = 64  # of a page of the cache in continuous batching

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Prompt:
    """Tokens to go on from, and how."""

    ids: list[int]
    max_tokens: int
    temperature: float = 0.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    group: Hashable | None = None
    top_p: float = 1.0


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: up to an end of its own ("stop"), or to `max_tokens` ("length")."""

    text: str
    finish: Finish
    n_tokens: int


class Writer:
    """Writes on one model."""

    def __init__(
        self,
        loaded: Loaded,
        prefixes: Prefixes,
        budget: TokenBudget,
        max_rows: int,
        continuous: bool = False,
    ):
        """`continuous`: greedy prompts without stop texts join and leave the batch one by one."""
        self._loaded = loaded
        self._prefixes = prefixes
        self.budget = budget
        self._max_rows = max_rows
        self._continuous = continuous
        # The other one is busy in another thread, and a tokenizer may not be shared by two.
        self._tokenizer = copy.deepcopy(loaded.tokenizer)

    def write(
        self, prompts: Sequence[Prompt], stopped: threading.Event
    ) -> Iterator[Batch[Prompt, Written]]:
        """Answers all prompts, batch by batch, in an order of its own.

        Args:
            prompts: Each shorter than the context; what would go beyond it is cut off there.
            stopped: Ends what is being written; its texts are then worth nothing.
        """
        joining: list[Prompt] = []
        groups: dict[Hashable | None, list[Prompt]] = {}
        for prompt in prompts:
            if self._continuous and prompt.temperature == 0.0 and not prompt.stop:
                joining.append(prompt)
            else:
                groups.setdefault(prompt.group, []).append(prompt)
        if joining:
            yield from self._write_continuously(joining, stopped)
        for group, members in groups.items():
            prefix = self._prefix(group, members)

            def run(batch: list[Prompt], prefix: Prefix | None = prefix) -> list[Written]:
                return self._pass(batch, prefix, stopped)

            yield from in_batches(members, self._n_tokens, run, self.budget, self._max_rows)

    def _prefix(self, group: Hashable | None, prompts: list[Prompt]) -> Prefix | None:
        """What these share, where padding may stand behind it."""
        # A sliding window reaches back over a number of places, and padding takes places.
        window = getattr(self._loaded.model.config.get_text_config(), "sliding_window", None)
        if window is not None and max(map(self._n_tokens, prompts)) > window:
            return None
        return self._prefixes.of(group, [prompt.ids for prompt in prompts])

    def _n_tokens(self, prompt: Prompt) -> int:
        return len(prompt.ids) + self._limit(prompt)

    def _limit(self, prompt: Prompt) -> int:
        """How many tokens it may write: `max_tokens`, or what the context leaves."""
        if self._loaded.context is None:
            return prompt.max_tokens
        return min(prompt.max_tokens, self._loaded.context - len(prompt.ids))

    @torch.inference_mode()
    def _pass(
        self, prompts: list[Prompt], prefix: Prefix | None, stopped: threading.Event
    ) -> list[Written]:
        """One call of `generate`, padded on the left, the prefix before the padding."""
        device, pad = self._loaded.device, self._loaded.pad_id
        start = len(prefix.ids) if prefix else 0
        before = prefix.ids if prefix else []
        width = max(len(prompt.ids) for prompt in prompts)
        gaps = [width - len(prompt.ids) for prompt in prompts]
        ids = torch.tensor(
            [
                before + [pad] * gap + prompt.ids[start:]
                for prompt, gap in zip(prompts, gaps, strict=True)
            ],
            device=device,
        )
        seen = torch.ones_like(ids)
        for row, gap in enumerate(gaps):
            seen[row, start : start + gap] = 0
        shared: dict[str, Any] = {}
        if prefix:
            shared["past_key_values"] = prefix.copied(len(prompts))
        limits = [self._limit(prompt) for prompt in prompts]
        written = self._loaded.model.generate(
            input_ids=ids,
            attention_mask=seen,
            generation_config=self._settings(max(limits)),
            logits_processor=LogitsProcessorList([_Sampling(prompts, device)]),
            stopping_criteria=StoppingCriteriaList(
                [_RowEnds(prompts, limits, width, self._tokenizer, stopped)]
            ),
            **shared,
        )
        rows = written[:, width:].tolist()
        return [
            self._read(row[:limit], prompt)
            for row, limit, prompt in zip(rows, limits, prompts, strict=True)
        ]

    def _settings(self, max_tokens: int) -> GenerationConfig:
        return GenerationConfig(
            max_new_tokens=max_tokens,
            do_sample=False,
            eos_token_id=list(self._loaded.eos_ids) or None,
            pad_token_id=self._loaded.pad_id,
        )

    def _read(self, ids: list[int], prompt: Prompt) -> Written:
        """What a row says, up to its end."""
        finish: Finish = "length"
        n_tokens = len(ids)
        for number, token in enumerate(ids):
            if token in self._loaded.eos_ids:
                ids, n_tokens, finish = ids[:number], number + 1, "stop"
                break
        text = self._tokenizer.decode(ids, skip_special_tokens=True)
        ends = [place for stop in prompt.stop if (place := text.find(stop)) >= 0]
        if ends:
            text, finish = text[: min(ends)], "stop"
        return Written(text, finish, n_tokens)

    def _write_continuously(
        self, prompts: list[Prompt], stopped: threading.Event
    ) -> Iterator[Batch[Prompt, Written]]:
        """A prompt leaves the batch when it is done, and the next one takes its place.

        What this way cannot do (an architecture, not enough memory) is left to the other one.
        """
        waiting: dict[str, Prompt] = {}
        why = "it ended early"
        try:
            manager = self._manager(prompts)
        except (RuntimeError, ValueError) as error:
            why = str(error)
        else:
            manager.start()
            try:
                for number, prompt in enumerate(prompts):
                    manager.add_request(
                        prompt.ids,
                        request_id=str(number),
                        max_new_tokens=self._limit(prompt),
                        eos_token_id=list(self._loaded.eos_ids) or -1,
                    )
                waiting = {str(number): prompt for number, prompt in enumerate(prompts)}
                while waiting and manager.is_running() and not stopped.is_set():
                    output = manager.get_result(timeout=1.0)
                    if output is None or not output.is_finished():
                        continue
                    if output.error is not None:
                        why = output.error
                        break
                    prompt = waiting.pop(output.request_id)
                    yield Batch([prompt], [self._read(output.generated_tokens, prompt)])
            finally:
                manager.stop(hard_stop=bool(waiting))
                manager.destroy()
            prompts = list(waiting.values())
        if prompts and not stopped.is_set():
            self._continuous = False
            _log.warning(
                "%s: no continuous batching (%s); going on in padded batches",
                self._loaded.name,
                why.splitlines()[0] if why else "no reason given",
            )
            yield from self.write(prompts, stopped)

    def _manager(self, prompts: list[Prompt]) -> Any:
        """A manager of continuous batching with a cache for as many tokens as the budget has."""
        pages = [-(-self._n_tokens(prompt) // _PAGE_TOKENS) for prompt in prompts]
        n_pages = max(max(pages), min(sum(pages), self.budget.tokens // _PAGE_TOKENS))
        return self._loaded.model.init_continuous_batching(
            generation_config=self._settings(max(map(self._limit, prompts))),
            continuous_batching_config=ContinuousBatchingConfig(
                page_size=_PAGE_TOKENS,
                num_blocks=n_pages + 1,
                max_requests_per_batch=self._max_rows,
                auto_switch_to_flash=False,  # it may fetch a kernel from the hub
            ),
        )


class _Sampling(LogitsProcessor):
    """Adds each row's own noise, so that the greatest logit is a sample; none at temperature 0."""

    def __init__(self, prompts: Sequence[Prompt], device: torch.device):
        temperatures = [prompt.temperature or 1.0 for prompt in prompts]
        self._temperatures = torch.tensor(temperatures, device=device)[:, None]
        self._narrowed = [
            row for row, prompt in enumerate(prompts) if prompt.temperature and prompt.top_p < 1.0
        ]
        masses = [prompts[row].top_p for row in self._narrowed]
        self._masses = torch.tensor(masses, device=device)[:, None]
        self._sources = {
            row: torch.Generator(device).manual_seed(_seed(prompt))
            for row, prompt in enumerate(prompts)
            if prompt.temperature
        }

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores of shape (n_rows, n_tokens)."""
        if not self._sources:
            return scores
        waits = torch.ones_like(scores, dtype=torch.float32)  # exponential; -log is Gumbel's
        for row, source in self._sources.items():
            waits[row].exponential_(generator=source)
        scaled = scores.float() / self._temperatures
        if self._narrowed:
            scaled[self._narrowed] = _nucleus(scaled[self._narrowed], self._masses)
        return scaled - waits.log()


def _nucleus(logits: torch.Tensor, masses: torch.Tensor) -> torch.Tensor:
    """Without the tokens that come after the likeliest ones of this mass; shape (n_rows, n_tokens).

    A token stays when those likelier than it have less than the mass, so one always stays.
    """
    ordered, places = logits.sort(dim=-1, descending=True)
    shares = ordered.softmax(dim=-1)
    ordered = ordered.masked_fill(shares.cumsum(dim=-1) - shares >= masses, -torch.inf)
    return torch.empty_like(logits).scatter_(-1, places, ordered)


def _seed(prompt: Prompt) -> int:
    """Of seed and prompt both: equal seeds of different prompts must not draw equal noise."""
    told = array("q", [prompt.seed or 0, *prompt.ids]).tobytes()
    return int.from_bytes(hashlib.blake2b(told, digest_size=8).digest()) >> 1


class _RowEnds(StoppingCriteria):
    """Ends a row at its own limit or stop text, and all of them when nobody wants them."""

    def __init__(
        self,
        prompts: Sequence[Prompt],
        limits: Sequence[int],
        width: int,
        tokenizer: Any,
        stopped: threading.Event,
    ):
        self._prompts = prompts
        self._limits = limits
        self._width = width
        self._tokenizer = tokenizer
        self._stopped = stopped
        self._done = [False] * len(prompts)
        longest = max((len(stop) for prompt in prompts for stop in prompt.stop), default=0)
        # Tokens that hold the longest stop text: a character takes up to four tokens of bytes.
        self._reach = 4 * longest + 4 if longest else 0

    def __call__(
        self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: Any
    ) -> torch.Tensor:
        """Which rows are done, shape (n_rows,)."""
        n_new = input_ids.shape[1] - self._width
        reach = min(n_new, self._reach)
        tails = input_ids[:, -reach:].tolist() if reach else []
        for row, prompt in enumerate(self._prompts):
            if self._done[row]:
                continue
            if self._stopped.is_set() or n_new >= self._limits[row]:
                self._done[row] = True
            elif prompt.stop:
                tail = self._tokenizer.decode(tails[row], skip_special_tokens=True)
                self._done[row] = any(stop in tail for stop in prompt.stop)
        return torch.tensor(self._done, device=input_ids.device)
