"""Every figure of expected.json, on the public files that lie beside the checkout."""

import json
from pathlib import Path

import pytest

from pipelines.agreement.report import ReportOptions, agreement_report
from pipelines.formats.reading import Reject, read_pairs
from pipelines.preferences.annotations import AnnotationsBuilder
from pipelines.preferences.combine import combine_judge


@pytest.fixture(scope="session")
def expected(shared_data: Path):
    return json.loads((shared_data / "expected.json").read_text())


def report_of(path: Path, unparsed="drop"):
    builder = AnnotationsBuilder()
    for row in read_pairs(path):
        assert not isinstance(row, Reject), row
        builder.add(row)
    annotations = builder.build()
    combined = {judge: combine_judge(annotations, judge).label for judge in annotations.judges}
    return agreement_report(annotations, combined, ReportOptions(unparsed=unparsed))


@pytest.fixture(scope="session")
def pandalm(shared_data: Path):
    path = shared_data / "pandalm.jsonl"
    return {unparsed: report_of(path, unparsed) for unparsed in ("drop", "wrong", "tie")}


def percent(judge, name):
    return round(100 * judge["by_verdict"][name]["estimate"], 2)


def test_pandalms_annotators(pandalm, expected):
    figures, humans = expected["pandalm"], pandalm["drop"]["humans"]
    kappas = {f"{c['a']}-{c['b']}": c["cohen_kappa"]["estimate"] for c in humans["pairwise"]}
    assert {name: round(kappa, 4) for name, kappa in kappas.items()} == figures["cohen_kappa"]
    published = figures["cohen_kappa_published"]
    assert {name: round(kappa, 2) for name, kappa in kappas.items()} == published
    for name in ("fleiss_kappa", "krippendorff_alpha", "gwet_ac1"):
        assert round(humans[name]["estimate"], 6) == figures[name]
    assert humans["reference_counts"] == figures["majority_published"]
    assert (humans["n_annotators"], humans["n_labels"], humans["n_overlap_pairs"]) == (3, 2997, 999)


def test_pandalms_rows(pandalm, expected):
    report = pandalm["drop"]
    assert report["n_pairs"] == 999
    assert report["n_duplicate"] == expected["pandalm"]["duplicate_rows"]
    assert report["n_empty"] == expected["pandalm"]["empty_responses"]
    assert report["n_identical"] == 0


def test_gpt_35_by_each_way_to_count_unparsed_verdicts(pandalm, expected):
    figures = expected["pandalm"]["judge_vs_majority"]["gpt-3.5-turbo"]
    judges = {unparsed: report["judges"]["gpt-3.5-turbo"] for unparsed, report in pandalm.items()}
    assert judges["drop"]["n_failed"] == {"unparsed": figures["unparsed"]}
    as_tie = figures["unparsed_as_tie_published"]
    assert percent(judges["tie"], "agreement") == as_tie["accuracy"]
    for name in ("precision_macro", "recall_macro", "f1_macro"):
        assert percent(judges["tie"], name) == as_tie[name]
    assert percent(judges["wrong"], "agreement") == figures["unparsed_as_wrong"]["accuracy"]
    assert percent(judges["drop"], "agreement") == figures["unparsed_dropped"]["accuracy"]
    kappa = judges["drop"]["by_verdict"]["cohen_kappa"]["estimate"]
    assert round(kappa, 4) == figures["unparsed_dropped"]["cohen_kappa"]
    assert judges["drop"]["by_verdict"]["n"] == 974
    assert judges["drop"]["position"] is None


def test_pandalm_7b(pandalm, expected):
    figures = expected["pandalm"]["judge_vs_majority"]["pandalm-7b"]
    judge = pandalm["drop"]["judges"]["pandalm-7b"]
    assert judge["n_failed"] == {}
    assert percent(judge, "agreement") == figures["published"]["accuracy"]
    for name in ("precision_macro", "recall_macro", "f1_macro"):
        assert percent(judge, name) == figures["published"][name]
    assert round(judge["by_verdict"]["cohen_kappa"]["estimate"], 4) == figures["cohen_kappa"]


def test_the_alternative_annotator_test_of_pandalm(pandalm, expected):
    figures = expected["pandalm"]["alt_test_epsilon_0.2"]
    found = {
        "gpt-3.5-turbo (unparsed as tie)": pandalm["tie"]["judges"]["gpt-3.5-turbo"]["alt_test"],
        "pandalm-7b": pandalm["drop"]["judges"]["pandalm-7b"]["alt_test"],
    }
    for name, test in found.items():
        assert test["epsilon"] == 0.2
        assert test["omega"] == figures[name]["omega"]
        assert round(test["rho"], 6) == figures[name]["rho"]


def test_pandalms_repeated_prompts_widen_the_intervals(pandalm):
    agreement = pandalm["drop"]["judges"]["pandalm-7b"]["by_verdict"]["agreement"]
    assert agreement["method"] == "cluster"
    wilson_width = 2 * 1.96 * (0.6677 * 0.3323 / 999) ** 0.5
    assert agreement["high"] - agreement["low"] > 1.3 * wilson_width


def test_every_judge_of_llmbar(shared_data: Path, expected):
    figures = expected["llmbar-natural-small"]["judges"]
    path = shared_data / "llmbar-natural-small.jsonl"
    wrong, drop = report_of(path, "wrong")["judges"], report_of(path)["judges"]
    assert set(wrong) == set(figures)
    for name, published in figures.items():
        assert wrong[name]["n_verdicts"] == published["n_verdicts"]
        assert wrong[name]["n_failed"].get("unparsed", 0) == published["unparsed"]
        accuracy = wrong[name]["by_verdict"]["agreement"]
        assert round(100 * accuracy["estimate"], 1) == published["accuracy_unparsed_wrong"]
        assert accuracy["n"] == 200
        position = drop[name]["position"]
        assert (position["n"], position["flips"]) == (
            published["n_both_parsed"],
            published["flips"],
        )
        # A judge without p_a abstains where its orders disagree; a failure is no abstention.
        assert 100 - wrong[name]["by_label"]["n"] == published["flips"]


def test_tulus_incomplete_matrix(shared_data: Path, expected):
    figures = expected["tulu-human-eval"]
    report = report_of(shared_data / "tulu-human-eval.jsonl")
    humans = report["humans"]
    assert humans["n_labels"] == figures["labels"]
    assert humans["n_annotators"] == figures["annotators"]
    assert humans["n_overlap_pairs"] == figures["pairs_with_overlap"]
    alpha, ac1 = humans["krippendorff_alpha"], humans["gwet_ac1"]
    assert round(alpha["estimate"], 6) == figures["krippendorff_alpha_on_overlap"]
    assert round(ac1["estimate"], 6) == figures["gwet_ac1_on_overlap"]
    assert report["n_identical"] == figures["identical_pairs"]
    assert report["judges"] == {}
