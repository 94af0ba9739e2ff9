"""From judgments to preference pairs: the steps of `workbench pairs`, in order, every loss counted.

Labels first (correct, recalibrate, let people's labels override), then the filters, the scheme,
the weights and the split by prompt.
"""

import hashlib
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.config import PairsSection
from pipelines.errors import BadInput
from pipelines.judge.ruled import apply_rule, known_violations
from pipelines.preferences import filters, near_duplicates, reweight, schemes, splits
from pipelines.preferences.combine import is_derived
from pipelines.preferences.curate import AI, FATES, Counts, Curated, Policy, curate
from pipelines.preferences.sieve import Sieve
from workbench.export.material import Material, gather
from workbench.pairs.learned import Learned, learn, sides
from workbench.pairs.progress import OnPair, nobody
from workbench.pairs.ratings import ratings_of, with_soft_scores
from workbench.pairs.upheld import checker_of, rule_options, uphold
from workbench.project import Project


@dataclass(frozen=True)
class PairSet:
    """The outcome of the chain; arrays have n_pairs rows, in store order."""

    label: str | None  # the AI label that went in
    round: str | None  # the round whose votes alone were used; None for all
    human_hash: str  # of all that people said
    learned: Learned
    curated: Curated
    reasons: list[str]  # "" for a pair that is kept
    flags: dict[int, str]  # by row: what the constitution's hard rule says of a pair
    weight: npt.NDArray[np.float64]  # 0 for a pair that is not kept
    split: npt.NDArray[np.object_]
    counts: Counts
    splits: dict[str, int]  # kept pairs
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """The JSON form: everything but the arrays."""
        correction, recalibration = self.learned.correction, self.learned.recalibration
        return {
            "label": self.label,
            "round": self.round,
            "human_hash": self.human_hash,
            "labels_stored_as": self.learned.stored_as,
            "n_human_labels": self.learned.n_labels,
            "correction": None
            if correction is None
            else {
                "applied": correction.applied,
                "why": correction.why,
                "n_labels": correction.n_labels,
                "n_edge": correction.n_edge,
                "over_judge": correction.over_judge.as_dict(),
                "over_no_judge": correction.over_no_judge.as_dict(),
                "no_judge_over_judge": correction.no_judge_over_judge.as_dict(),
            },
            "recalibration": None
            if recalibration is None
            else {
                "applied": recalibration.applied
                and not (correction is not None and correction.applied),
                "why": recalibration.why,
                "method": recalibration.map.method,
                "n_labels": recalibration.n_labels,
                "ece_before": recalibration.ece_before.as_dict(),
                "ece_after": recalibration.ece_after.as_dict(),
                "brier_before": recalibration.brier_before.as_dict(),
                "brier_after": recalibration.brier_after.as_dict(),
            },
            "notes": list(self.learned.notes),
            "flags": {flag: list(self.flags.values()).count(flag) for flag in self.flags.values()},
            "counts": self.counts.as_dict(),
            "splits": self.splits,
            "seconds": self.seconds,
        }


@dataclass(frozen=True)
class _Texts:
    """What the texts of the pairs say, without the texts."""

    prompt: npt.NDArray[np.uint64]  # hashes
    response_a: npt.NDArray[np.uint64]
    response_b: npt.NDArray[np.uint64]
    place: npt.NDArray[np.float64]  # of the prompt, for the split


def make_pairs(
    project: Project,
    options: PairsSection,
    *,
    round_name: str | None = None,
    store: bool = True,
    on_pair: OnPair = nobody,
) -> PairSet:
    """Run the chain on a project.

    Args:
        project: The project.
        options: `[pairs]`, or what the command line made of it.
        round_name: Only this round's votes; all rounds' when None.
        store: Keep corrected or recalibrated labels as a judge of the project.
        on_pair: Called with pairs done and pairs in all, once a pass.

    Raises:
        BadInput: No pairs, no such label, or settings that cannot be.
    """
    start = time.monotonic()
    splits.check_shares(options.test_share, options.validation_share)
    material = gather(project, round_name, options.label or None)
    score = ratings_of(project, material.label)
    if score is not None:
        material = with_soft_scores(material, score, options.score_scale)
    learned = learn(project, material, options, store=store, on_pair=on_pair)
    ai_label = sides(learned.soft) if learned.stored_as else material.evidence.ai_label
    known, rule = None, rule_options(options)
    if options.constitution != "off":
        known = known_violations(project.store, checker_of(project, options.checks))
    ruled = None
    if known is not None and options.constitution == "rule":
        ruled = apply_rule(ai_label, learned.soft, known, rule)
    evidence = replace(
        material.evidence,
        ai_label=ai_label if ruled is None else ruled.label,
        ai_p_a=learned.soft if ruled is None else ruled.p_a,
    )
    section = project.config.curate
    policy = Policy(
        disagreement=section.disagreement,
        ties=section.ties,
        identical="drop",
        min_confidence=options.min_confidence if options.min_confidence > 0.5 else None,
    )
    curated = curate(evidence, policy)
    sieve = Sieve(len(curated.fate))
    for step in curated.counts.steps:  # curate has counted them already, step by step
        reasons = {why: curated.fate == FATES.index(why) for why in step.dropped}
        sieve.drop(step.name, step.policy, reasons, step.notes)
    _filter(project, material, curated, sieve, options)
    by_rule = uphold(curated, sieve, known, ruled, options)
    texts = _read_texts(project, sieve, options, on_pair)
    _filter_texts(project, material, curated, sieve, texts, options, score)
    kept = np.flatnonzero(sieve.alive)
    if not len(kept):
        raise BadInput(f"no pair is left; {_losses(sieve)}")
    weights = np.zeros(len(sieve.alive))
    subset = np.unique(
        [str(name) for name in project.store.features()["subset"][kept]], return_inverse=True
    )[1]
    weights[kept] = reweight.weights(
        options.reweight,
        curated.p_a[kept],
        material.annotations.prompt[kept],
        subset,
        before=curated.weight[kept] * by_rule[kept],
    )
    split = np.array(
        [
            splits.split_of(place, options.test_share, options.validation_share)
            for place in texts.place.tolist()
        ],
        dtype=object,
    )
    n_each = {name: int((split[kept] == name).sum()) for name in splits.SPLITS}
    return PairSet(
        label=material.label,
        round=round_name,
        human_hash=material.human_hash(),
        learned=learned,
        curated=curated,
        reasons=sieve.reasons(),
        flags={} if ruled is None else ruled.flags,
        weight=weights,
        split=split,
        counts=sieve.counts(curated.source, curated.label),
        splits={name: n for name, n in n_each.items() if n},
        seconds=time.monotonic() - start,
    )


def _filter(
    project: Project, material: Material, curated: Curated, sieve: Sieve, options: PairsSection
) -> None:
    """The filters that read no text."""
    judges = [judge for judge in material.annotations.judges if not is_derived(judge)]
    sieve.drop(
        "agreement among judges",
        f"at least {options.min_agreement} of {len(judges)}" if options.min_agreement else "any",
        filters.disputed(
            material.annotations, judges, curated.label, curated.source, options.min_agreement
        ),
    )
    features = project.store.features()
    limits = f"{options.min_chars} to {options.max_chars or 'any number of'} characters"
    ratio = (
        f", at most {options.max_length_ratio} times as long" if options.max_length_ratio else ""
    )
    sieve.drop(
        "length",
        limits + ratio,
        filters.badly_sized(
            features["chars_a"],
            features["chars_b"],
            options.min_chars,
            options.max_chars,
            options.max_length_ratio,
        ),
    )


def _read_texts(project: Project, sieve: Sieve, options: PairsSection, on_pair: OnPair) -> _Texts:
    n = len(sieve.alive)
    hashes = np.zeros((3, n), dtype=np.uint64)
    place = np.zeros(n)
    n_alive = int(sieve.alive.sum())
    texts = project.store.iter_texts(sieve.alive)
    for n_done, (row, pair) in enumerate(texts, start=1):
        prompt = pair.prompt_json()
        hashes[:, row] = _hash(prompt), _hash(pair.response_a), _hash(pair.response_b)
        place[row] = splits.place_of(prompt, options.seed)
        on_pair(n_done, n_alive)
    return _Texts(hashes[0], hashes[1], hashes[2], place)


def _filter_texts(
    project: Project,
    material: Material,
    curated: Curated,
    sieve: Sieve,
    texts: _Texts,
    options: PairsSection,
    score: npt.NDArray[np.float64] | None,
) -> None:
    """The filters that read the texts, cheap ones first, and the scheme."""
    again = filters.repeated(texts.prompt, texts.response_a, texts.response_b, sieve.alive)
    again = again if options.duplicates == "drop" else {}
    sieve.drop("exact duplicates", options.duplicates, again)
    threshold = options.near_duplicates
    near = {}
    if threshold:
        repeats = near_duplicates.near_duplicates(
            project.store.iter_texts(sieve.alive), len(sieve.alive), threshold
        )
        near = {"nearly the same texts as an earlier pair": repeats >= 0}
    sieve.drop("near-duplicates", f"Jaccard {threshold}" if threshold else "keep", near)
    policy: str = options.scheme
    if score is None:
        kept = schemes.in_scheme(
            material.annotations.prompt,
            texts.response_a,
            texts.response_b,
            curated.p_a,
            sieve.alive,
            options.scheme,
        )
    else:
        by_ai = curated.source == AI
        kept = ~by_ai | schemes.scored_in_scheme(
            material.annotations.prompt,
            texts.response_a,
            texts.response_b,
            score,
            sieve.alive & by_ai,
            options.scheme,
            np.random.default_rng(options.seed),
            min_margin=options.min_margin,
        )
        policy += f", by ratings, at least {options.min_margin:g} apart"
    sieve.drop("scheme", policy, {"not in the scheme": ~kept})


def _hash(text: str) -> int:
    encoded = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(encoded, digest_size=8).digest(), "big")


def _losses(sieve: Sieve) -> str:
    lost = [f"{n} {why}" for step in sieve.steps for why, n in step.dropped.items()]
    return ", ".join(lost) or "there are no pairs"
