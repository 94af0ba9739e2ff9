"""Trained labelers and judge correction on public human preferences, as tables for README.md.

    python benchmarks/labelers.py [--data FOLDER] [--encoder FOLDER] [--base FOLDER]

Reads `../shared/data` beside the checkout. `--encoder` is the folder of a local text encoder;
`--base` the folder of a model to fine-tune (slow on a CPU: only on the smaller data set).
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from pipelines.agreement.annotations import Annotations
from pipelines.agreement.estimate import Estimate
from pipelines.agreement.reference import votes_of
from pipelines.formats.reading import Reject, read_pairs
from pipelines.judge.labeler.card import Labelled
from pipelines.judge.labeler.fit import fit_labeler
from pipelines.preferences.annotations import AnnotationsBuilder
from pipelines.preferences.audited import Audited
from pipelines.preferences.combine import combine
from pipelines.preferences.correction import Correction, learn_correction
from pipelines.preferences.curate import ai_soft_label, majority, vote_counts
from pipelines.preferences.gain import compare
from pipelines.preferences.recalibrate import recalibrate
from pipelines.records import PreferencePair

DATA = Path(__file__).parents[1].parent / "shared" / "data"
SEED = 0
N_AUDIT, N_DRAWS = 200, 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--encoder", type=Path)
    parser.add_argument("--base", type=Path)
    given = parser.parse_args()
    print("### Trained labelers (random choice: accuracy .500, log-loss .693)\n")
    head = (
        "| data | labeler | labels | accuracy | longer wins | difference | log-loss | ECE | CPU s |"
    )
    print(head + "\n" + "|---" * 9 + "|")
    for row in labelers(given.data, given.encoder, given.base):
        print(row, flush=True)
    print("\n### Judge correction, people as the audit\n")
    print(
        "| data | label | evidence | n | accuracy: judge | texts alone | corrected | gain | "
        "log-loss | gain | applied |\n" + "|---" * 11 + "|"
    )
    for row in corrections(given.data):
        print(row, flush=True)
    print(f"\n### {N_AUDIT} audited pairs at random, measured on all others ({N_DRAWS} draws)\n")
    print(
        "| data | label | accuracy: judge | corrected | gain on the others | said by "
        "cross-validation | applied |\n" + "|---" * 7 + "|"
    )
    for row in held_out(given.data):
        print(row, flush=True)
    print("\n### Recalibration\n")
    print("| data | label | method | n | ECE before | after | log-loss before | after |")
    print("|---" * 8 + "|")
    for row in calibrations(given.data):
        print(row, flush=True)


def labelers(data: Path, encoder: Path | None, base: Path | None) -> Iterator[str]:
    for name, sizes in (("hh-harmless-test", (250, 1000, None)), ("tulu-human-eval", (250, None))):
        pairs, _, audited = read(data / f"{name}.jsonl")
        everything = Labelled([pairs[row] for row in audited.row.tolist()], audited)
        n = len(audited)
        for size in sizes:
            some = np.random.default_rng(SEED).permutation(n)[:size] if size else np.arange(n)
            yield _fitted(name, "features", _part(everything, np.sort(some)))
        if encoder is not None:
            yield _fitted(name, "features + MiniLM", everything, encoder=encoder)
        if base is not None and n < 1000:
            yield _fitted(name, "fine-tuned MiniLM", everything, base=base)


def _fitted(
    data: str,
    what: str,
    labelled: Labelled,
    encoder: Path | None = None,
    base: Path | None = None,
) -> str:
    training = None
    if base is not None:
        from pipelines.judge.labeler.classifier import Training

        training = Training(base=str(base), epochs=2, batch=16, learning_rate=5e-5, max_tokens=192)
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        card = fit_labeler(
            "labeler", labelled, Path(folder) / "it", encoder=encoder, training=training, seed=SEED
        )
    spent = time.process_time() - start
    ece = "-" if card.ece is None else _share(Estimate(**card.ece.model_dump()))
    return (
        f"| {data} | {what} | {card.n_pairs} | {_share(Estimate(**card.accuracy.model_dump()))} | "
        f"{_share(Estimate(**card.longer_wins.model_dump()))} | "
        f"{_change(Estimate(**card.over_longer_wins.model_dump()))} | {_plain(card.log_loss)} | "
        f"{ece} | {spent:.0f} |"
    )


def corrections(data: Path) -> Iterator[str]:
    llmbar = ("LLaMA2/Vanilla", "ChatGPT/Vanilla", "PaLM2/Vanilla", "GPT-4/Vanilla")
    for name, labels in (
        ("pandalm", ("gpt-3.5-turbo", "pandalm-7b", "majority")),
        ("llmbar-natural-small", llmbar),
    ):
        pairs, annotations, audited = read(data / f"{name}.jsonl")
        for label in labels:
            if label != "majority" and label not in annotations.judges:
                print(f"{name} has no judge {label}", file=sys.stderr)
                continue
            for evidence in ("own", "all judges"):
                if label == "majority" and evidence == "own":
                    continue
                derived = [judge for judge in annotations.judges if judge != label]
                made, _, _ = corrected(
                    pairs, annotations, audited, label, derived if evidence == "own" else []
                )
                gain, alone = made.over_judge, made.over_no_judge.accuracy_before
                yield (
                    f"| {name} | {label} | {evidence} | {gain.accuracy_gain.n} | "
                    f"{_share(gain.accuracy_before)} | {_share(alone)} | "
                    f"{_share(gain.accuracy_after)} | {_change(gain.accuracy_gain)} | "
                    f"{_plain(gain.log_loss_before)} to {_plain(gain.log_loss_after)} | "
                    f"{_change(gain.log_loss_gain)} | {'yes' if made.applied else 'no'} |"
                )


def corrected(
    pairs: Sequence[PreferencePair],
    annotations: Annotations,
    audited: Audited,
    label: str,
    derived: Sequence[str],
) -> tuple[Correction, np.ndarray, np.ndarray]:
    """The correction, the rows that it was learned on, and all soft labels."""
    combined = combine(annotations, label)
    soft = ai_soft_label(combined.label, combined.p_a)
    part = taken(audited, np.flatnonzero(~np.isnan(soft[audited.row])))
    made = learn_correction(
        [pairs[row] for row in part.row.tolist()],
        soft[part.row],
        part,
        np.random.default_rng(SEED),
        derived=derived,
    )
    return made, part.row, soft


def held_out(data: Path) -> Iterator[str]:
    pairs, annotations, audited = read(data / "pandalm.jsonl")
    for label in ("gpt-3.5-turbo", "pandalm-7b"):
        combined = combine(annotations, label)
        soft = ai_soft_label(combined.label, combined.p_a)
        whole = taken(audited, np.flatnonzero(~np.isnan(soft[audited.row])))
        for draw in range(N_DRAWS):
            prompts = np.unique(whole.prompt)
            order = np.random.default_rng(draw).permutation(prompts)
            rank = np.argsort(order)[np.searchsorted(prompts, whole.prompt)]
            # Whole prompts, so that no audited prompt is among the others.
            audit = np.flatnonzero(rank < N_AUDIT * len(prompts) / len(whole))
            others = np.setdiff1d(np.arange(len(whole)), audit)
            made, _, _ = corrected(pairs, annotations, taken(whole, audit), label, [])
            rest = taken(whole, others)
            p_a = made.model.p_a([pairs[row] for row in rest.row.tolist()], soft[rest.row])
            true = compare(soft[rest.row], p_a, rest.p_a, rest.prompt)
            yield (
                f"| pandalm | {label} | {_share(true.accuracy_before)} | "
                f"{_share(true.accuracy_after)} | {_change(true.accuracy_gain)} | "
                f"{_change(made.over_judge.accuracy_gain)} | {'yes' if made.applied else 'no'} |"
            )


def calibrations(data: Path) -> Iterator[str]:
    for name, labels in (
        ("pandalm", ("gpt-3.5-turbo", "pandalm-7b", "mean")),
        ("llmbar-natural-small", ("mean",)),
    ):
        _, annotations, audited = read(data / f"{name}.jsonl")
        for label in labels:
            combined = combine(annotations, label)
            soft = ai_soft_label(combined.label, combined.p_a)
            part = taken(audited, np.flatnonzero(~np.isnan(soft[audited.row])))
            made = recalibrate(soft[part.row], part, np.random.default_rng(SEED))
            yield (
                f"| {name} | {label} | {made.map.method} | {made.n_labels} | "
                f"{_share(made.ece_before)} | {_share(made.ece_after)} | "
                f"{_plain(made.gain.log_loss_before)} | {_plain(made.gain.log_loss_after)} |"
            )


def read(path: Path) -> tuple[list[PreferencePair], Annotations, Audited]:
    """All pairs, their verdicts, and what people say of them (identical responses left out)."""
    if not path.is_file():
        raise SystemExit(f"{path}: not here; give the folder of the public data with --data")
    builder = AnnotationsBuilder()
    pairs = []
    for row in read_pairs(path):
        if isinstance(row, Reject):
            raise SystemExit(f"{path}:{row.line}: {row.detail}")
        builder.add(row)
        pairs.append(row)
    annotations = builder.build()
    votes = votes_of(annotations)
    counted = vote_counts(len(pairs), votes.pair, votes.label)
    differs = np.array([pair.response_a != pair.response_b for pair in pairs])
    row_numbers = np.flatnonzero((counted.sum(axis=1) > 0) & differs)
    some = counted[row_numbers]
    share = (some[:, 0] + 0.5 * some[:, 2]) / some.sum(axis=1)
    share = np.where(majority(some) == 2, 0.5, share)
    n = len(row_numbers)
    prompt = annotations.prompt[row_numbers]
    return pairs, annotations, Audited(row_numbers, share, np.ones(n), np.zeros(n, bool), prompt)


def taken(audited: Audited, places: np.ndarray) -> Audited:
    return Audited(
        audited.row[places],
        audited.p_a[places],
        audited.weight[places],
        audited.edge[places],
        audited.prompt[places],
    )


def _part(labelled: Labelled, places: np.ndarray) -> Labelled:
    return Labelled([labelled.pairs[k] for k in places.tolist()], taken(labelled.audited, places))


def _plain(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")


def _share(one: Estimate) -> str:
    return f"{_plain(one.estimate)} ({_plain(one.low)}-{_plain(one.high)})"


def _change(one: Estimate) -> str:
    return f"{one.estimate:+.3f} ({one.low:+.3f} to {one.high:+.3f})"


if __name__ == "__main__":
    main()
