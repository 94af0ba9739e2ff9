"""The sample: made again byte for byte, valid, varied, and simulated as its README says."""

import importlib.util
import json
import math
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pipelines.config import load_config
from pipelines.formats.reading import read_pairs
from pipelines.formats.rejects import Reject
from pipelines.records import PreferencePair
from workbench.data_files import data_dir

SAMPLE = data_dir() / "sample"


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    """The script, imported without leaving compiled files in a folder that the wheel ships."""
    spec = importlib.util.spec_from_file_location("make_sample", SAMPLE / "make_sample.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    keep, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    sys.modules[spec.name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = keep
    return module


@pytest.fixture(scope="module")
def pairs() -> list[PreferencePair]:
    rows = list(read_pairs(SAMPLE / "pairs.jsonl"))
    assert not [row for row in rows if isinstance(row, Reject)]
    return [row for row in rows if isinstance(row, PreferencePair)]


@pytest.fixture(scope="module")
def truth() -> dict[str, str]:
    found: dict[str, str] = json.loads((SAMPLE / "truth.json").read_text())["author_verdict"]
    return found


@pytest.fixture(scope="module")
def labels() -> list[dict[str, Any]]:
    text = (SAMPLE / "labels.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def combined(pair: PreferencePair, judge: str) -> str | None:
    """The label of the mean p_a of a judge's verdicts; None where all failed."""
    p_a = [said.p_a for said in pair.ai if said.judge == judge and said.p_a is not None]
    if not p_a:
        return None
    mean = sum(p_a) / len(p_a)
    return "A" if mean > 0.5 else "B" if mean < 0.5 else "tie"


def within_error(n_right: int, chances: list[float]) -> bool:
    """Whether a count lies within 2.6 standard deviations of a sum of independent chances."""
    deviation = math.sqrt(sum(p * (1 - p) for p in chances))
    return abs(n_right - sum(chances)) <= 2.6 * deviation


def test_the_committed_files_are_what_the_script_makes(maker: ModuleType) -> None:
    for name, text in maker.make().items():
        assert (SAMPLE / name).read_text(encoding="utf-8") == text, (
            f"{name} differs; run `python data/sample/make_sample.py`"
        )


def test_the_files_are_small_enough_to_read() -> None:
    assert (SAMPLE / "pairs.jsonl").stat().st_size < 600_000


def test_there_are_about_three_hundred_varied_pairs(pairs: list[PreferencePair]) -> None:
    assert 280 <= len(pairs) <= 320
    assert len({pair.id for pair in pairs}) == len(pairs)
    assert len({pair.text_hash() for pair in pairs}) == len(pairs)
    assert len({pair.subset for pair in pairs}) >= 10
    assert {pair.meta["complexity"] for pair in pairs} == {"simple", "medium", "complex"}
    assert {pair.meta["language"] for pair in pairs} == {"en", "de", "zh", "ar"}
    assert sum(isinstance(pair.prompt, tuple) for pair in pairs) >= 15  # conversations
    assert sum("```" in pair.response_a for pair in pairs) >= 20  # code
    assert sum("|---|" in pair.response_a for pair in pairs) >= 10  # tables
    assert sum("tags" in pair.meta for pair in pairs) >= 25  # safety
    texts = [text for pair in pairs for text in (pair.response_a, pair.response_b)]
    assert 15 <= sum(len(text.split()) >= 130 for text in texts) <= 40


def test_prompts_repeat_at_most_three_times(pairs: list[PreferencePair]) -> None:
    times = Counter(pair.prompt_json() for pair in pairs)
    assert max(times.values()) <= 3
    assert sum(n > 1 for n in times.values()) >= 60


def test_no_response_is_empty_or_stands_twice(pairs: list[PreferencePair]) -> None:
    texts = [text for pair in pairs for text in (pair.response_a, pair.response_b)]
    assert all(text.strip() for text in texts)
    assert len(set(texts)) == len(texts)


def test_no_pair_is_nearly_a_copy_of_another(pairs: list[PreferencePair]) -> None:
    def shingles(pair: PreferencePair) -> frozenset[tuple[str, ...]]:
        words = re.findall(r"\w+", f"{pair.response_a} {pair.response_b}".lower())
        return frozenset(zip(words, words[1:], words[2:], strict=False))

    # Only pairs that share a shingle can be alike: an index finds those few.
    sets = [shingles(pair) for pair in pairs]
    holders = defaultdict(list)
    for row, found in enumerate(sets):
        for shingle in found:
            holders[shingle].append(row)
    shared: Counter[tuple[int, int]] = Counter()
    for rows in holders.values():
        shared.update((a, b) for a in rows for b in rows if a < b)
    alike = {(pairs[a].id, pairs[b].id): n / len(sets[a] | sets[b]) for (a, b), n in shared.items()}
    assert max(alike.values()) < 0.3, max(alike, key=lambda key: alike[key])


def test_python_snippets_compile(pairs: list[PreferencePair]) -> None:
    texts = [text for pair in pairs for text in (pair.response_a, pair.response_b)]
    snippets = [code for text in texts for code in re.findall(r"```python\n(.*?)```", text, re.S)]
    assert len(snippets) >= 20
    for code in snippets:
        compile(code, "snippet", "exec")


def test_the_author_has_a_verdict_on_each_pair_and_no_side_is_favoured(
    pairs: list[PreferencePair], truth: dict[str, str]
) -> None:
    assert set(truth) == {pair.id for pair in pairs}
    counts = Counter(truth.values())
    assert within_error(counts["A"], [0.5] * (counts["A"] + counts["B"]))
    assert 0.10 < counts["tie"] / len(pairs) < 0.20


def test_length_alone_does_not_find_the_better_response(
    pairs: list[PreferencePair], truth: dict[str, str]
) -> None:
    by_id = {str(pair.id): pair for pair in pairs}
    longer = Counter(
        (len(by_id[key].response_a) > len(by_id[key].response_b)) == (label == "A")
        for key, label in truth.items()
        if label != "tie"
    )
    assert 0.5 < longer[True] / longer.total() < 0.8  # as in real data


def test_everybody_simulated_is_called_so(
    pairs: list[PreferencePair], labels: list[dict[str, Any]]
) -> None:
    names = {said.judge for pair in pairs for said in pair.ai}
    names |= {label["annotator"] for label in labels}
    names |= {name for pair in pairs for name in (pair.model_a, pair.model_b) if name}
    assert len(names) == 2 + 3 + 2
    assert all(name.startswith("simulated-") for name in names)


def test_nothing_but_the_truth_file_names_the_better_response(pairs: list[PreferencePair]) -> None:
    for pair in pairs:
        assert set(pair.meta) <= {"complexity", "language", "tags"}


def test_the_strong_judge_is_as_right_as_designed(
    maker: ModuleType, pairs: list[PreferencePair], truth: dict[str, str]
) -> None:
    decisive = [pair for pair in pairs if truth[str(pair.id)] != "tie"]
    n_right = sum(combined(pair, maker.STRONG) == truth[str(pair.id)] for pair in decisive)
    # By the number in the README and by the pairs' own chances.
    errors = [maker.STRONG_ERROR[pair.meta["complexity"]] for pair in decisive]
    assert within_error(n_right, [1 - error for error in errors])
    chances = [maker.strong_confidence(pair.id, pair.meta["complexity"]) for pair in decisive]
    assert within_error(n_right, chances)
    assert n_right / len(decisive) == pytest.approx(0.88, abs=0.04)


def test_the_strong_judge_reports_the_chance_that_it_is_right(
    maker: ModuleType, pairs: list[PreferencePair], truth: dict[str, str]
) -> None:
    sure, right = defaultdict(list), Counter[str]()
    for pair in pairs:
        if truth[str(pair.id)] == "tie":
            continue
        p_a = [said.p_a for said in pair.ai if said.judge == maker.STRONG]
        mean = sum(p for p in p_a if p is not None) / 2
        bin_ = "low" if max(mean, 1 - mean) < 0.9 else "high"
        sure[bin_].append(max(mean, 1 - mean))
        right[bin_] += (mean > 0.5) == (truth[str(pair.id)] == "A")
    for bin_, chances in sure.items():
        assert len(chances) > 40
        assert within_error(right[bin_], chances)


def test_the_other_judge_is_as_right_as_designed(
    maker: ModuleType, pairs: list[PreferencePair], truth: dict[str, str]
) -> None:
    chances, n_right = [], 0
    for pair in pairs:
        verdicts = [said for said in pair.ai if said.judge == maker.FIRST]
        label = truth[str(pair.id)]
        if label == "tie" or any(said.failure for said in verdicts):
            continue
        texts = (pair.response_a, pair.response_b)[:: 1 if label == "A" else -1]
        chances.append(maker.first_right(*map(len, texts)))
        n_right += combined(pair, maker.FIRST) == label
    assert within_error(n_right, chances)
    assert n_right / len(chances) == pytest.approx(0.72, abs=0.06)


def test_only_the_other_judge_takes_what_it_reads_first(
    maker: ModuleType, pairs: list[PreferencePair]
) -> None:
    flips: dict[str, Counter[str]] = {maker.STRONG: Counter(), maker.FIRST: Counter()}
    for pair in pairs:
        for judge, count in flips.items():
            by_order = {said.order: said.label for said in pair.ai if said.judge == judge}
            assert set(by_order) == {"ab", "ba"}
            if by_order == {"ab": "A", "ba": "B"}:
                count["first"] += 1
            elif by_order == {"ab": "B", "ba": "A"}:
                count["second"] += 1
            else:
                count["steady"] += 1
    biased = flips[maker.FIRST]
    assert biased["second"] == 0
    # Both answers stand on 0.95² of the pairs.
    assert within_error(biased["first"], [maker.FIRST_TAKES_FIRST * 0.95**2] * len(pairs))
    strong = flips[maker.STRONG]
    assert abs(strong["first"] - strong["second"]) <= 2.6 * math.sqrt(
        max(strong["first"] + strong["second"], 1)
    )
    assert strong["steady"] > 0.9 * len(pairs)


def test_failures_are_kept_and_come_at_the_designed_rate(
    maker: ModuleType, pairs: list[PreferencePair]
) -> None:
    verdicts = [said for pair in pairs for said in pair.ai if said.judge == maker.FIRST]
    failed = Counter(said.failure for said in verdicts if said.failure)
    for name, rate in maker.FIRST_FAILURES.items():
        assert within_error(failed[name], [rate] * len(verdicts))
    assert all(said.raw for said in verdicts if said.failure)


def test_labels_join_the_pairs_as_valid_records(
    maker: ModuleType, pairs: list[PreferencePair], labels: list[dict[str, Any]]
) -> None:
    humans = defaultdict(list)
    for label in labels:
        humans[label["pair_id"]].append({k: v for k, v in label.items() if k != "pair_id"})
    for pair in pairs:
        row = pair.model_dump(mode="json") | {"human": humans.pop(str(pair.id))}
        joined = PreferencePair.model_validate(row)
        assert len(joined.human) == (2 if pair.meta["language"] == "ar" else 3)
    assert not humans


def test_annotators_differ_in_accuracy_and_speed_as_designed(
    maker: ModuleType,
    pairs: list[PreferencePair],
    truth: dict[str, str],
    labels: list[dict[str, Any]],
) -> None:
    complexity = {str(pair.id): str(pair.meta["complexity"]) for pair in pairs}
    median = {}
    for person in maker.ANNOTATORS:
        mine = [label for label in labels if label["annotator"] == person.name]
        decisive = [label for label in mine if truth[label["pair_id"]] != "tie"]
        chances = [person.right + maker.EASIER[complexity[x["pair_id"]]] for x in decisive]
        n_right = sum(label["label"] == truth[label["pair_id"]] for label in decisive)
        assert within_error(n_right, chances)
        ties = [label for label in mine if truth[label["pair_id"]] == "tie"]
        n_ties = sum(label["label"] == "tie" for label in ties)
        assert within_error(n_ties, [person.calls_a_tie] * len(ties))
        median[person.name] = sorted(label["seconds"] for label in mine)[len(mine) // 2]
    assert 2 * median["simulated-ben"] < median["simulated-chi"]
    assert median["simulated-ben"] < median["simulated-ana"] < median["simulated-chi"]


def test_the_run_file_of_the_demo_loads_and_finds_its_safety_pairs(
    pairs: list[PreferencePair],
) -> None:
    config = load_config(SAMPLE)
    judges = {said.judge for pair in pairs for said in pair.ai}
    assert config.audit.label in judges
    tags = {tag for pair in pairs for tag in pair.meta.get("tags", [])}
    assert set(config.audit.safety.tags) == tags


def test_the_readme_counts_what_is_there(pairs: list[PreferencePair]) -> None:
    readme = (SAMPLE / "README.md").read_text(encoding="utf-8")
    n_prompts = len({pair.prompt_json() for pair in pairs})
    assert f"{len(pairs)} preference pairs on {n_prompts} prompts" in readme


def test_a_broken_source_file_is_named(maker: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "01.txt").write_text("=== k | s | simple\n@user\nQ?\n@good\nyes\n@bad\nno\n")
    with pytest.raises(maker.BadInput, match=r"01\.txt: pair 1 of k is not a pair with a note"):
        maker.read_source(tmp_path)
