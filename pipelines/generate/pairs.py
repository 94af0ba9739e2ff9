"""Candidates to unlabelled preference pairs in the project's store, so that judges see them."""

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from pydantic import JsonValue

from pipelines.config import RunConfig
from pipelines.errors import BadInput
from pipelines.generate.reading import candidates_by_prompt
from pipelines.generate.records import Candidate, text_hash
from pipelines.importing import import_file
from pipelines.records import PreferencePair
from pipelines.store import PairStore

SOURCE = "generate"


@dataclass(frozen=True)
class PairsMade:
    """What became pairs. A failed candidate, and two equal responses, never do."""

    n_prompts: int  # with at least one pair
    n_pairs: int  # wanted, all in all
    n_new: int  # that were not in the store
    n_identical: int  # pairs left out because their responses are the same
    n_failed: int  # candidates left out


def put_pairs(
    project_dir: Path,
    store: PairStore,
    config: RunConfig,
    per_prompt: int,
    seed: int,
    now: float | None = None,
    models: Collection[str] | None = None,
) -> PairsMade:
    """Put the pairs of all candidates into the store; what is there stays, only new ones come.

    Args:
        project_dir: The project's folder.
        store: Its pairs.
        config: Kept with the import.
        per_prompt: At most so many pairs of each prompt; 0: all of them.
        seed: Of which ones, and of which response is A.
        now: The time to record, Unix seconds; the clock's where None.
        models: Only candidates of these meet, and only their pairs are counted; all where None.

    Raises:
        BadInput: The store cannot be written.
    """
    known = set(store.pair_ids())
    counts = PairCounts()
    path = project_dir / "runs" / "generate" / "generated-pairs.jsonl"
    try:
        with path.open("w", encoding="utf-8") as file:
            prompts = (
                [one for one in members if models is None or one.model in models]
                for members in candidates_by_prompt(project_dir)
            )
            for pair in pairs_of(prompts, known, per_prompt, seed, counts):
                if pair.id not in known:
                    counts.n_new += 1
                    values = pair.model_dump(mode="json", exclude_defaults=True)
                    file.write(json.dumps(values, ensure_ascii=False) + "\n")
        if counts.n_new:
            import_file(store, path, config, format="pairs", strict=True, now=now)
    except OSError as error:
        raise BadInput(
            f"{path}: cannot be written ({error.strerror or error}); the candidates are kept: make "
            "room, then run again"
        ) from error
    finally:
        path.unlink(missing_ok=True)
    return PairsMade(
        counts.n_prompts, counts.n_pairs, counts.n_new, counts.n_identical, counts.n_failed
    )


@dataclass
class PairCounts:
    """What is counted while pairs are made; see `PairsMade`."""

    n_prompts: int = 0
    n_pairs: int = 0
    n_new: int = 0
    n_identical: int = 0
    n_failed: int = 0


def pairs_of(
    prompts: Iterable[list[Candidate]],
    known: set[str],
    per_prompt: int,
    seed: int,
    counts: PairCounts,
) -> Iterator[PreferencePair]:
    """The pairs of each prompt over all models, each once, those that are known first.

    Args:
        prompts: The candidates of each prompt, of all models.
        known: Ids of pairs that are in the store; they count towards `per_prompt`.
        per_prompt: At most so many of each prompt; 0: all.
        seed: Of the draw.
        counts: Added to.
    """
    for members in prompts:
        sound = [one for one in members if one.failure is None and one.response is not None]
        counts.n_failed += len(members) - len(sound)
        found: dict[str, PreferencePair] = {}
        for first, second in combinations(sound, 2):
            if (first.response or "").split() == (second.response or "").split():
                counts.n_identical += 1
                continue
            pair = _pair(first, second, seed)
            found.setdefault(pair.id or "", pair)
        # The draw is by a hash of the pair, so more candidates do not change who was drawn first.
        ids = sorted(found, key=lambda id: (id not in known, _digest(seed, id)))
        chosen = ids[:per_prompt] if per_prompt else ids
        counts.n_prompts += bool(chosen)
        counts.n_pairs += len(chosen)
        yield from (found[id] for id in chosen)


def _pair(first: Candidate, second: Candidate, seed: int) -> PreferencePair:
    """Two candidates in an order that is drawn, so that no model is always A."""
    sides = sorted([first, second], key=lambda one: (one.model, one.response or ""))
    texts = [[one.model, one.response] for one in sides]
    prompt = text_hash(first.prompt)
    id = f"gen-{hashlib.sha256(json.dumps([prompt, texts]).encode()).hexdigest()[:16]}"
    if _digest(seed, "sides " + id)[0] % 2:
        sides.reverse()
    a, b = sides
    about: dict[str, JsonValue] = {
        "prompt_id": a.prompt_id,
        "candidate_a": a.index,
        "candidate_b": b.index,
    }
    return PreferencePair(
        id=id,
        prompt=a.prompt,
        response_a=a.response or "",
        response_b=b.response or "",
        model_a=a.model,
        model_b=b.model,
        source=a.source or SOURCE,
        subset=a.subset,
        meta={**a.meta, **about},
    )


def _digest(seed: int, text: str) -> bytes:
    return hashlib.sha256(f"{seed} {text}".encode()).digest()
