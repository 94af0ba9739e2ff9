import json
from dataclasses import replace

import numpy as np
import pytest

from pipelines.agreement.annotations import NONE, TIE, A, Annotations, B
from pipelines.agreement.report import ReportOptions, agreement_report, human_agreement
from pipelines.errors import BadInput

ESTIMATE = {"estimate", "low", "high", "method", "n"}
COMPARISON = {
    "n",
    "agreement",
    "cohen_kappa",
    "gwet_ac1",
    "precision_macro",
    "recall_macro",
    "f1_macro",
}


def made(verdicts, labels, n_pairs, prompt=None):
    """Annotations from (pair, judge, order, label, failure) and (pair, annotator, label)."""
    pair, judge, order, label, failure = np.array(verdicts, dtype=int).reshape(-1, 5).T
    label_pair, annotator, value = np.array(labels, dtype=int).reshape(-1, 3).T
    return Annotations(
        n_pairs=n_pairs,
        prompt=np.arange(n_pairs) if prompt is None else np.array(prompt),
        judges=tuple(f"judge{k}" for k in range(int(judge.max(initial=-1)) + 1)),
        verdict_pair=pair,
        verdict_judge=judge,
        verdict_order=order,
        verdict_label=label,
        verdict_p_a=np.full(len(pair), np.nan),
        verdict_failure=failure,
        annotators=("ana", "ben", "cy"),
        label_pair=label_pair,
        label_annotator=annotator,
        label_value=value,
        n_duplicate=2,
    )


# Five pairs, two judges. judge0 sees both orders: A/A, A/B (flips), B/unparsed, B/B, -.
# judge1 sees one order: B, B, refused, B, tie. People: A, A, B, tie (no majority), nobody.
VERDICTS = [
    *[(0, 0, 0, A, -1), (0, 0, 1, A, -1), (1, 0, 0, A, -1), (1, 0, 1, B, -1)],
    *[(2, 0, 0, B, -1), (2, 0, 1, NONE, 0), (3, 0, 0, B, -1), (3, 0, 1, B, -1)],
    *[(0, 1, 0, B, -1), (1, 1, 0, B, -1), (2, 1, 0, NONE, 1), (3, 1, 0, B, -1)],
    (4, 1, 0, TIE, -1),
]
LABELS = [(0, 0, A), (0, 1, A), (1, 0, A), (2, 0, B), (2, 1, B), (2, 2, A), (3, 0, A), (3, 1, B)]
COMBINED = {
    "judge0": np.array([A, NONE, B, B, NONE], dtype=np.int8),
    "judge1": np.array([B, B, NONE, B, TIE], dtype=np.int8),
}


@pytest.fixture
def annotations():
    return made(VERDICTS, LABELS, 5)


def test_the_report_has_the_keys_of_the_contract_and_is_json(annotations):
    report = agreement_report(annotations, COMBINED)
    assert list(report) == ["n_pairs", "n_identical", "n_duplicate", "n_empty", "humans", "judges"]
    assert report["n_duplicate"] == 2
    assert set(report["humans"]) == {
        *("n_annotators", "n_labels", "n_overlap_pairs", "fleiss_kappa", "krippendorff_alpha"),
        *("gwet_ac1", "reference_counts", "pairwise"),
    }
    judge = report["judges"]["judge0"]
    assert set(judge) == {
        *("n_verdicts", "n_failed", "by_verdict", "by_label", "position", "alt_test"),
    }
    assert set(judge["by_verdict"]) == set(judge["by_label"]) == COMPARISON
    assert set(judge["by_verdict"]["agreement"]) == ESTIMATE
    assert set(judge["position"]) == {"n", "flips", "flip_rate", "first_rate", "p_value"}
    assert json.loads(json.dumps(report, allow_nan=False)) == report


def test_verdicts_and_labels_by_hand(annotations):
    report = agreement_report(annotations, COMBINED)
    humans, judge = report["humans"], report["judges"]["judge0"]
    assert humans["n_annotators"] == 3
    assert humans["n_labels"] == 8
    assert humans["n_overlap_pairs"] == 3
    assert humans["reference_counts"] == {"A": 2, "B": 1, "tie": 1}
    assert [(c["a"], c["b"], c["n"]) for c in humans["pairwise"]] == [
        ("ana", "ben", 3),
        ("ana", "cy", 1),
        ("ben", "cy", 1),
    ]
    assert judge["n_verdicts"] == 8
    assert judge["n_failed"] == {"unparsed": 1}
    # A A | A B | B - | B B against A, A, B, tie: 4 of 7 verdicts, 2 of 3 labels
    assert judge["by_verdict"]["n"] == 7
    assert judge["by_verdict"]["agreement"]["estimate"] == 4 / 7
    assert judge["by_label"]["n"] == 3
    assert judge["by_label"]["agreement"]["estimate"] == 2 / 3
    assert (judge["position"]["n"], judge["position"]["flips"]) == (3, 1)
    assert report["judges"]["judge1"]["position"] is None


def test_failures_are_dropped_or_wrong_or_ties_and_abstentions_stay_out(annotations):
    found = {
        unparsed: agreement_report(annotations, COMBINED, ReportOptions(unparsed=unparsed))
        for unparsed in ("drop", "wrong", "tie")
    }
    verdicts = {u: r["judges"]["judge1"]["by_verdict"] for u, r in found.items()}
    # B B refused B against A A B tie: nothing right of three, then of four
    assert {u: (v["n"], v["agreement"]["estimate"]) for u, v in verdicts.items()} == {
        "drop": (3, 0.0),
        "wrong": (4, 0.0),
        "tie": (4, 0.0),
    }
    labels = {u: r["judges"]["judge0"]["by_label"] for u, r in found.items()}
    assert {v["n"] for v in labels.values()} == {3}  # pair 1 is an abstention, not a failure
    other = {u: r["judges"]["judge1"]["by_label"]["n"] for u, r in found.items()}
    assert other == {"drop": 3, "wrong": 4, "tie": 4}


def test_ties_may_be_dropped_or_count_half(annotations):
    half = agreement_report(annotations, COMBINED, ReportOptions(ties="half"))
    dropped = agreement_report(annotations, COMBINED, ReportOptions(ties="drop"))
    # pair 3: B B against a tie: half a point each, or left out
    assert half["judges"]["judge0"]["by_verdict"]["agreement"]["estimate"] == 5 / 7
    by_verdict = dropped["judges"]["judge0"]["by_verdict"]
    assert (by_verdict["n"], by_verdict["agreement"]["estimate"]) == (5, 4 / 5)


def test_an_annotator_may_be_the_reference(annotations):
    report = agreement_report(annotations, COMBINED, ReportOptions(reference="cy"))
    assert report["humans"]["reference_counts"] == {"A": 1, "B": 0, "tie": 0}
    assert report["judges"]["judge0"]["by_verdict"]["n"] == 1
    with pytest.raises(BadInput, match="no annotator"):
        agreement_report(annotations, COMBINED, ReportOptions(reference="zoe"))


def test_what_is_undefined_is_null_and_never_zero():
    report = agreement_report(made(VERDICTS, [], 5), COMBINED)
    assert report["humans"]["fleiss_kappa"] is None
    assert report["humans"]["pairwise"] == []
    by_verdict = report["judges"]["judge0"]["by_verdict"]
    assert by_verdict["n"] == 0
    assert {by_verdict[key] for key in COMPARISON - {"n"}} == {None}
    assert report["judges"]["judge0"]["alt_test"] is None
    assert agreement_report(made([], LABELS, 5), {})["judges"] == {}


def test_repeated_prompts_are_noticed_in_the_method(annotations):
    together = replace(annotations, prompt=np.array([7, 7, 7, 8, 9]))
    one = agreement_report(annotations, COMBINED)["judges"]["judge0"]
    other = agreement_report(together, COMBINED)["judges"]["judge0"]
    assert one["by_label"]["agreement"]["method"] == "wilson"
    assert other["by_label"]["agreement"]["method"] == "cluster"
    assert one["by_label"]["agreement"]["estimate"] == other["by_label"]["agreement"]["estimate"]
    # Two verdicts on one pair hang together even where no prompt repeats.
    assert one["by_verdict"]["agreement"]["method"] == "cluster"
    assert one["position"]["flip_rate"]["method"] == "wilson"
    assert other["position"]["flip_rate"]["method"] == "cluster"


def test_the_ceiling_is_how_often_two_people_agree(annotations):
    # pairs 0, 2, 3: 1, 1/3, 0
    ceiling = human_agreement(annotations, ReportOptions())
    assert ceiling.estimate == pytest.approx(4 / 9)
    assert ceiling.n == 3


def random_annotations(seed, n_pairs=400):
    rng = np.random.default_rng(seed)
    truth = rng.choice(3, size=n_pairs, p=[0.45, 0.45, 0.1])
    verdicts, labels = [], []
    for pair in range(n_pairs):
        for judge in (0, 1):
            for order in (0, 1):
                label = truth[pair] if rng.random() < 0.75 else rng.integers(0, 3)
                failed = rng.random() < 0.05
                verdicts.append(
                    (pair, judge, order, NONE if failed else label, 0 if failed else NONE)
                )
        for annotator in rng.permutation(3)[: rng.integers(0, 4)]:
            label = truth[pair] if rng.random() < 0.85 else rng.integers(0, 3)
            labels.append((pair, annotator, label))
    return made(verdicts, labels, n_pairs, prompt=rng.integers(0, 150, n_pairs))


def flat(value, path=""):
    if isinstance(value, dict):
        return {k: v for key in value for k, v in flat(value[key], f"{path}/{key}").items()}
    if isinstance(value, list):
        return {k: v for n, item in enumerate(value) for k, v in flat(item, f"{path}/{n}").items()}
    return {path: value}


@pytest.mark.parametrize("ties", ["strict", "half", "drop"])
@pytest.mark.parametrize("unparsed", ["drop", "wrong", "tie"])
def test_exchanging_the_responses_of_every_pair_changes_no_figure(ties, unparsed):
    one = random_annotations(0)
    renamed = np.array([1, 0, 2, -1])
    turned = np.array([1, 0, -1])
    other = replace(
        one,
        verdict_label=renamed[one.verdict_label],
        verdict_order=turned[one.verdict_order],
        label_value=renamed[one.label_value],
    )
    options = ReportOptions(unparsed=unparsed, ties=ties)
    reports = []
    for annotations in (one, other):
        # One order stands for the combined label here.
        combined = {}
        for number, judge in enumerate(annotations.judges):
            mine = annotations.verdict_judge == number
            label = np.full(annotations.n_pairs, NONE, dtype=np.int8)
            label[annotations.verdict_pair[mine]] = annotations.verdict_label[mine]
            combined[judge] = label
        reports.append(agreement_report(annotations, combined, options))
    first, second = (flat({"humans": r["humans"], "judges": r["judges"]}) for r in reports)
    counts = "/humans/reference_counts/"
    assert first[f"{counts}A"] == second[f"{counts}B"]
    for path, value in first.items():
        if not path.startswith(counts):
            assert value == (
                pytest.approx(second[path], abs=1e-9) if isinstance(value, float) else second[path]
            ), path


def test_the_order_of_the_rows_changes_no_figure():
    one = random_annotations(1)
    rng = np.random.default_rng(2)
    verdicts, labels = rng.permutation(len(one.verdict_pair)), rng.permutation(len(one.label_pair))
    other = replace(
        one,
        **{
            name: getattr(one, name)[verdicts]
            for name in ("verdict_pair", "verdict_judge", "verdict_order", "verdict_label")
        },
        verdict_failure=one.verdict_failure[verdicts],
        **{
            name: getattr(one, name)[labels]
            for name in ("label_pair", "label_annotator", "label_value")
        },
    )
    first, second = flat(agreement_report(one, {})), flat(agreement_report(other, {}))
    assert first == pytest.approx(second, abs=1e-9)
