"""A local text encoder: a folder that `transformers` loads, its token vectors averaged."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.agreement.annotations import FloatArray
from pipelines.errors import BadInput
from pipelines.preferences.text_features import prompt_text
from pipelines.records import PreferencePair

_MAX_TOKENS = 512
_BATCH = 16


class Encoder:
    """Embeds a response together with the end of its prompt. Loaded on first use."""

    def __init__(self, folder: Path, device: str = "cpu"):
        if not (folder / "config.json").is_file():
            raise BadInput(f"{folder}: no config.json, so no encoder; give a model's folder")
        self.folder = folder
        self._device = device
        self._loaded: tuple[Any, Any] | None = None

    @property
    def n_columns(self) -> int:
        """Width of an embedding."""
        _, model = self._load()
        return int(model.config.hidden_size)

    def differences(self, pairs: Sequence[PreferencePair]) -> FloatArray:
        """Embedding of response_a less that of response_b, each of length 1. (n_pairs, width)."""
        texts: dict[str, int] = {}
        places = np.array(
            [
                [
                    texts.setdefault(f"{prompt}\n\n{answer}", len(texts))
                    for answer in (pair.response_a, pair.response_b)
                ]
                for pair in pairs
                for prompt in (prompt_text(pair)[-1000:],)
            ],
            dtype=np.int64,
        ).reshape(len(pairs), 2)
        vectors = self._embed(list(texts))
        return np.asarray(vectors[places[:, 0]] - vectors[places[:, 1]], dtype=np.float64)

    def _embed(self, texts: list[str]) -> FloatArray:
        import torch

        tokenizer, model = self._load()
        found = np.zeros((len(texts), self.n_columns))
        # Texts of like length together, so that little is padded.
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        limit = min(_MAX_TOKENS, int(getattr(model.config, "max_position_embeddings", 1 << 30)))
        for start in range(0, len(order), _BATCH):
            chosen = order[start : start + _BATCH]
            tokens = tokenizer(
                [texts[place] for place in chosen],
                padding=True,
                truncation=True,
                max_length=limit,
                return_tensors="pt",
            ).to(self._device)
            with torch.inference_mode():
                states = model(**tokens).last_hidden_state
            mask = tokens["attention_mask"][:, :, None].to(states.dtype)
            mean = (states * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1.0)
            found[chosen] = torch.nn.functional.normalize(mean.float(), dim=1).cpu().numpy()
        return found

    def _load(self) -> tuple[Any, Any]:
        if self._loaded is None:
            try:
                from transformers import AutoModel, AutoTokenizer

                from pipelines.models.local_model import quiet_loading
            except ImportError as error:
                raise BadInput(
                    "an encoder needs torch and transformers; install rlaif-workbench[train]"
                ) from error
            try:
                with quiet_loading():
                    tokenizer = AutoTokenizer.from_pretrained(self.folder)
                    model = AutoModel.from_pretrained(self.folder).eval().to(self._device)
            except (OSError, ValueError, RuntimeError) as error:
                raise BadInput(f"{self.folder}: no encoder can be loaded ({error})") from error
            if tokenizer.pad_token_id is None:  # which token fills a batch is masked: any will do
                tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
            self._loaded = tokenizer, model
        return self._loaded
