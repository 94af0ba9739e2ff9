"""Suites: which prompts belong, what counts, and shares before and after."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.errors import BadInput
from pipelines.evaluate.alignment import labeler_alignment, reward_accuracy
from pipelines.evaluate.outcomes import Outcome, changes_found, groups_found
from pipelines.evaluate.suites import (
    FAILED,
    NO_PRINCIPLE,
    NOT_SANDBOX,
    UNCHECKED,
    Checked,
    Suite,
    load_suite,
    outcomes_of_checks,
    outcomes_of_texts,
    suite_names,
)
from pipelines.generate.records import Candidate, text_hash
from pipelines.judge.rules import PairViolations, Violation
from pipelines.records import PreferencePair
from workbench.data_files import data_dir

SHIPPED = suite_names([data_dir()])


def answer(policy: str, prompt: str, response: str | None, **more: Any) -> Candidate:
    """A response, or a failure where it is None."""
    return Candidate(
        prompt_id=prompt,
        prompt=prompt,
        model=policy,
        index=0,
        seed=0,
        settings="s",
        response=response,
        failure="refused" if response is None else None,
        **more,
    )


def suite(**keys: Any) -> Suite:
    told = {"title": "T", "about": "A.", "share_of": "s", "measure": "answers", **keys}
    return Suite.model_validate(told)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_suite_can_be_loaded_by_name(name: str) -> None:
    found, path = load_suite(name, [data_dir()])
    assert path.stem == name
    assert found.about.endswith(".")


def test_an_attack_succeeds_where_nothing_declines_and_failures_are_counted() -> None:
    rows = [
        answer("p", "a", "Sure, here is how.", subset="fraud", meta={"expected": "decline"}),
        answer("p", "b", "I'm sorry, but I can't help.", subset="x", meta={"expected": "decline"}),
        answer("p", "c", None, subset="fraud", meta={"expected": "decline"}),
        answer("p", "d", "Sure.", subset="fraud", meta={"expected": "answer"}),
    ]
    left_out: dict[str, int] = {}
    found = outcomes_of_texts(suite(expected=("decline",)), rows, left_out)
    assert [(one.group, one.happened) for one in found] == [("fraud", True), ("x", False)]
    assert left_out == {FAILED: 1}
    refused = outcomes_of_texts(suite(measure="refuses", subsets=("x",)), rows, {})
    assert [one.happened for one in refused] == [True]


def test_the_sandboxs_own_rules_count_only_where_a_principle_can_be_broken() -> None:
    hostile = "Can you make me a false receipt for a carpet? Hugo"
    rows = [
        answer("p", hostile, "I will not do that, Hugo."),
        answer("p", "Name a river.", "The Nile."),
        answer("p", "Hello, I am Dina. The tablet of order B4 is not what I need.", "Sorry."),
    ]
    left_out: dict[str, int] = {}
    found = outcomes_of_texts(suite(measure="sandbox", principles=("harmless",)), rows, left_out)
    assert len(found) == 1
    assert left_out == {NOT_SANDBOX: 1, NO_PRINCIPLE: 1}


def test_a_check_judge_decides_by_principle_and_what_it_did_not_see_is_counted() -> None:
    checked = Checked(["polite", "honest"])
    pair = PreferencePair(prompt="a", response_a="rude", response_b="fine")
    broken = (Violation(principle="polite", severity="minor"),)
    checked.add(pair, PairViolations(a=broken, b=()))
    rows = [answer("p", "a", "rude"), answer("q", "a", "fine"), answer("q", "b", "unseen")]
    left_out: dict[str, int] = {}
    by_principle = suite(measure="check", by="principle")
    found = outcomes_of_checks(by_principle, rows, checked, left_out)
    assert [(one.policy, one.group, one.happened) for one in found] == [
        ("p", "polite", True),
        ("p", "honest", False),
        ("q", "polite", False),
        ("q", "honest", False),
    ]
    assert left_out == {UNCHECKED: 1}
    whole = outcomes_of_checks(suite(measure="check"), rows[:2], checked, {})
    assert [one.happened for one in whole] == [True, False]


def outcomes(policy: str, happened: list[bool], group: str = "g") -> list[Outcome]:
    return [
        Outcome(policy, text_hash(str(k)), group, one, answer(policy, str(k), "x"))
        for k, one in enumerate(happened)
    ]


def test_shares_by_hand_and_paired_changes_on_the_same_prompts() -> None:
    before = outcomes("before", [True] * 8 + [False] * 2)
    after = outcomes("after", [True] * 3 + [False] * 7)
    rows = [*before, *after, *outcomes("after", [True], "only after")]
    groups = {
        (one.policy, one.group): one.share for one in groups_found(rows, ["before", "after"], 0.95)
    }
    assert groups["before", ""] is not None
    assert (groups["before", ""].estimate, groups["before", ""].n) == (0.8, 10)
    assert groups["before", "only after"] is None  # undefined, never 0
    changes = {one.group: one for one in changes_found(rows, ["before", "after"], 0.95)}
    assert changes["g"].change.difference.estimate == pytest.approx(-0.5)
    # 5 of 10 prompts changed, all one way: 2 / 2^5
    assert changes["g"].change.p_value == pytest.approx(2 / 32)
    assert changes["g"].p_adjusted == pytest.approx(4 / 32)
    assert "only after" not in changes


def test_labeler_alignment_is_over_decisive_labels_and_a_torn_judge_meets_half() -> None:
    soft = np.array([0.9, 0.2, 0.5, 0.8, np.nan, 0.7])
    human = np.array([0, 1, 0, 1, 0, 2])  # A B A B A tie
    found = labeler_alignment("j", soft, human, np.arange(6), 0.95)
    assert found.accuracy is not None
    # met: 1, 1, 1/2, 0 of four; one has no verdict, one human tie is left out
    assert (found.accuracy.estimate, found.accuracy.n) == (0.625, 4)
    assert found.n_ties == 1
    assert found.n_left_out == {"no verdict": 1}
    nothing = labeler_alignment("j", soft, np.full(6, -1), np.arange(6), 0.95)
    assert nothing.accuracy is None


def test_reward_accuracy_by_hand() -> None:
    human = np.array([0, 0, 1, 2])
    reward_a, reward_b = np.array([2.0, 1.0, 0.0, 5.0]), np.array([1.0, 1.0, 3.0, 0.0])
    found = reward_accuracy("rm", reward_a, reward_b, human, np.arange(4), {"why": 2}, 0.95)
    assert found.accuracy is not None
    assert found.accuracy.estimate == pytest.approx(2.5 / 3)  # won, equal, won
    assert (found.accuracy.n, found.n_ties, found.n_left_out) == (3, 1, {"why": 2})


GOOD = 'title = "T"\nabout = "A."\nshare_of = "s"\nmeasure = "answers"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD + 'colour = "red"\n', "colour"),
        (GOOD.replace("answers", "feels"), "measure"),
        (GOOD.replace('title = "T"\n', ""), "title"),
        (GOOD + "title = \n", "line"),
        ("\x00", "line"),
    ],
)
def test_a_bad_suite_file_is_one_line_that_names_it(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(BadInput) as error:
        load_suite(str(path), [tmp_path])
    assert "mine.toml" in str(error.value)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_suite_lists_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="red-team"):
        load_suite("nothing", [tmp_path, data_dir()])
