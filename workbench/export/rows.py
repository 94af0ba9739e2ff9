"""One curated pair as rows of a format. Pure: a pair and its outcome in, plain dicts out."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.records import Label
from workbench.export.formats import Format
from workbench.export.labels import PairLabels
from workbench.export.texts import PairTexts

ORDERS = ("", "ab", "ba", "ab+ba")  # indexed by bits: 1 asked in order ab, 2 in order ba


@dataclass(frozen=True, slots=True)
class Outcome:
    """What curation says of one kept pair, and what the rounds know about it."""

    label: Label
    p_a: float
    weight: float
    label_source: str
    human_label: str | None
    n_human_labels: int
    ai_label: str | None
    ai_p_a: float | None
    agrees: bool | None
    orders: str
    identical: bool
    drawn: PairLabels | None
    imported_by: tuple[str, ...]  # the people whose labels came with the pair


@dataclass(frozen=True)
class RowMaker:
    """Makes the rows of one export. `aliases` replaces people's names, where given."""

    fmt: Format
    conversational: bool
    columns: tuple[str, ...]  # names of the columns beside the texts
    judge: str | None
    aliases: Mapping[str, str] | None = None

    def rows(self, pair: PairTexts, outcome: Outcome) -> list[dict[str, Any]]:
        """One row, or two (chosen and rejected) in the unpaired format."""
        a_first = _a_first(pair, outcome)
        facts = self._facts(pair, outcome, a_first)
        beside = {name: facts[name] for name in self.columns}
        prompt = self._prompt(pair)
        if self.fmt.shape == "ab":
            texts = {"response_a": pair.response_a, "response_b": pair.response_b}
            return [{"prompt": prompt, **texts, **beside}]
        better, worse = pair.response_a, pair.response_b
        if not a_first:
            better, worse = worse, better
        chosen, rejected = self._completion(better), self._completion(worse)
        if self.fmt.shape == "chosen":
            return [{"prompt": prompt, "chosen": chosen, "rejected": rejected, **beside}]
        return [
            {"prompt": prompt, "completion": chosen, "label": True, **beside},
            {"prompt": prompt, "completion": rejected, "label": False, **beside},
        ]

    def _prompt(self, pair: PairTexts) -> str | list[dict[str, str]]:
        if self.conversational:
            return turns(pair.prompt)
        return pair.prompt if isinstance(pair.prompt, str) else pair.prompt[0]["content"]

    def _completion(self, text: str) -> str | list[dict[str, str]]:
        return [{"role": "assistant", "content": text}] if self.conversational else text

    def _facts(self, pair: PairTexts, outcome: Outcome, a_first: bool) -> dict[str, Any]:
        p_chosen = outcome.p_a if a_first else 1.0 - outcome.p_a
        drawn = outcome.drawn
        agrees = outcome.agrees
        return {
            "pair_id": pair.id,
            "label": outcome.label,
            "p_a": outcome.p_a,
            "p_chosen": p_chosen,
            "margin": 2.0 * p_chosen - 1.0,
            "weight": outcome.weight,
            "label_source": outcome.label_source,
            "human_label": outcome.human_label,
            "n_human_labels": outcome.n_human_labels,
            "ai_label": outcome.ai_label,
            "ai_p_a": outcome.ai_p_a,
            "human_ai": None if agrees is None else "agree" if agrees else "differ",
            "judge": self.judge,
            "orders": outcome.orders or None,
            "annotators": self._names(outcome) or None,
            "round": drawn.round if drawn else None,
            "stratum": drawn.stratum if drawn else None,
            "inclusion_prob": drawn.inclusion_prob if drawn else None,
            "identical": outcome.identical,
            "source": pair.source,
            "subset": pair.subset,
            "model_a": pair.model_a,
            "model_b": pair.model_b,
            "model_chosen": pair.model_a if a_first else pair.model_b,
            "model_rejected": pair.model_b if a_first else pair.model_a,
            "meta": pair.meta,
        }

    def _names(self, outcome: Outcome) -> str:
        """The people whose labels decided."""
        drawn = outcome.drawn
        if outcome.label_source == "ai":
            return ""
        if drawn is not None and drawn.adjudication is not None:
            names = [drawn.adjudication.annotator]
        elif drawn is not None and drawn.votes:
            names = [vote.annotator for vote in drawn.votes.values()]
        else:
            names = list(outcome.imported_by)
        if self.aliases is not None:
            names = [self.aliases[name] for name in names]
        return "; ".join(sorted(set(names)))


def turns(prompt: str | list[dict[str, str]]) -> list[dict[str, str]]:
    """A prompt as a conversation; a text is one turn of the user."""
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt


def in_test(prompt: str | list[dict[str, str]], share: float, seed: int) -> bool:
    """Whether a prompt is one of the held-out ones, by a hash of the prompt alone.

    So a prompt is never on both sides, and stays on its side when the data grow.
    """
    if share <= 0.0:
        return False
    text = json.dumps([seed, turns(prompt)], ensure_ascii=False)
    drawn = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return drawn < share * 2**64


def _a_first(pair: PairTexts, outcome: Outcome) -> bool:
    """Whether response_a is the chosen one. A tie has no better side, so a hash of the texts
    chooses: the same text whichever way the pair is turned, and neither A nor B more often.
    """
    if outcome.label != "tie":
        return outcome.label == "A"
    return _digest(pair.response_a) <= _digest(pair.response_b)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
