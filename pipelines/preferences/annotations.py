"""From records to flat arrays: every verdict on a stream of pairs, in memory that stays small."""

import json
from array import array

import numpy as np
import numpy.typing as npt

from pipelines.agreement.annotations import FAILURE_NAMES, LABEL_NAMES, NONE, Annotations
from pipelines.formats.fingerprints import (
    has_text,
    is_empty,
    is_identical,
    prompt_fingerprint,
    text_fingerprint,
)
from pipelines.records import PreferencePair

LABEL_CODES: dict[str | None, int] = {name: code for code, name in enumerate(LABEL_NAMES)} | {
    None: NONE
}
FAILURE_CODES: dict[str | None, int] = {name: code for code, name in enumerate(FAILURE_NAMES)} | {
    None: NONE
}
ORDER_CODES: dict[str | None, int] = {"ab": 0, "ba": 1, None: NONE}

_NO_PROMPT = prompt_fingerprint(json.dumps(""))


class AnnotationsBuilder:
    """Collects pairs one at a time: about 70 bytes a pair and 25 a verdict, no text kept."""

    def __init__(self) -> None:
        self._prompts = array("Q")
        self._texts = array("Q")
        self._judges: dict[str, int] = {}
        self._verdict_pair = array("q")
        self._verdict_judge = array("i")
        self._verdict_order = array("b")
        self._verdict_label = array("b")
        self._verdict_p_a = array("d")
        self._verdict_failure = array("b")
        self._annotators: dict[str, int] = {}
        self._label_pair = array("q")
        self._label_annotator = array("i")
        self._label_value = array("b")
        self._n_identical = 0
        self._n_empty = 0

    def add(self, pair: PreferencePair) -> None:
        """The next pair; its place in the arrays is the number of pairs before it."""
        place = len(self._prompts)
        self._prompts.append(prompt_fingerprint(pair.prompt_json()))
        if has_text(pair):
            self._texts.append(text_fingerprint(pair))
        self._n_identical += is_identical(pair)
        self._n_empty += is_empty(pair)
        for judgment in pair.ai:
            self._verdict_pair.append(place)
            self._verdict_judge.append(self._judges.setdefault(judgment.judge, len(self._judges)))
            self._verdict_order.append(ORDER_CODES[judgment.order])
            self._verdict_label.append(LABEL_CODES[judgment.label])
            self._verdict_p_a.append(np.nan if judgment.p_a is None else judgment.p_a)
            self._verdict_failure.append(FAILURE_CODES[judgment.failure])
        for label in pair.human:
            self._label_pair.append(place)
            self._label_annotator.append(
                self._annotators.setdefault(label.annotator, len(self._annotators))
            )
            self._label_value.append(LABEL_CODES[label.label])

    def build(self) -> Annotations:
        """The arrays of all pairs so far."""
        texts = np.array(self._texts, dtype=np.uint64)
        return Annotations(
            n_pairs=len(self._prompts),
            prompt=prompt_codes(np.array(self._prompts, dtype=np.uint64)),
            judges=tuple(self._judges),
            verdict_pair=np.array(self._verdict_pair, dtype=np.int64),
            verdict_judge=np.array(self._verdict_judge, dtype=np.int32),
            verdict_order=np.array(self._verdict_order, dtype=np.int8),
            verdict_label=np.array(self._verdict_label, dtype=np.int8),
            verdict_p_a=np.array(self._verdict_p_a, dtype=np.float64),
            verdict_failure=np.array(self._verdict_failure, dtype=np.int8),
            annotators=tuple(self._annotators),
            label_pair=np.array(self._label_pair, dtype=np.int64),
            label_annotator=np.array(self._label_annotator, dtype=np.int32),
            label_value=np.array(self._label_value, dtype=np.int8),
            n_identical=self._n_identical,
            n_duplicate=len(texts) - len(np.unique(texts)),
            n_empty=self._n_empty,
        )


def prompt_codes(keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Codes of prompt fingerprints: equal prompts get equal codes.

    Pairs without a prompt (a bare win list) are not said to share one: each has a code of its own.
    """
    codes = np.unique(keys, return_inverse=True)[1].astype(np.int64)
    unknown = keys == _NO_PROMPT
    codes[unknown] = len(keys) + np.arange(int(unknown.sum()))
    return codes
