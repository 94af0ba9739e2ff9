"""A critic's three parts, strictly: what does not say one thing clearly says nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.constitution.parse import Finding, parse_critique, write_critique

GOOD = "Verdict: violated\nWhy: It asks for a password.\nImprove: Leave that out."


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        GOOD.replace("Verdict", "**Verdict**").replace("violated", "**Violated**."),
        "Let me look at it first.\n\n" + GOOD,
        GOOD.replace(": ", "："),
        GOOD.replace("\n", "\n\n"),
    ],
)
def test_three_parts_are_read_with_their_decoration(text):
    found = parse_critique(text)
    assert found is not None
    assert (found.verdict, found.improve) == ("violated", "Leave that out.")


def test_a_part_may_have_several_lines():
    found = parse_critique("Verdict: satisfied\nWhy: One.\nTwo.\nImprove: nothing")
    assert found == Finding("satisfied", "One.\nTwo.", "nothing")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "It is fine.",
        GOOD.replace("violated", "violated or satisfied"),
        GOOD.replace("violated", "not violated"),
        GOOD + "\nVerdict: satisfied",  # two verdicts
        GOOD + "\nVerdict: violated",
        "Why: x\nVerdict: violated\nImprove: y",  # in another order
        "Verdict: violated\nWhy: x",
        "Verdict: violated\nWhy:\nImprove: y",  # no reason
        "Verdict: violated\nWhy: x\nImprove:",  # no advice
        "The Verdict: violated\nWhy: x\nImprove: y",  # not at the start of a line
    ],
)
def test_what_is_not_clear_says_nothing(text):
    assert parse_critique(text) is None


words = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1).filter(
    lambda text: text.strip(" \t*_`\"'.。#>-") != "" and ":" not in text and "：" not in text
)


@given(st.sampled_from(["satisfied", "violated"]), words, words)
def test_what_is_written_is_read_back(verdict, why, improve):
    finding = Finding(verdict, why, improve)
    found = parse_critique(write_critique(finding))
    assert found is not None
    assert found.verdict == verdict
    assert found.why in why
