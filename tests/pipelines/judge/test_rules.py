"""The constitution as a rule: hard, as a filter, as weights."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import BadInput
from pipelines.judge.rules import (
    PairViolations,
    RuleOptions,
    Violation,
    WeightOptions,
    filtered_out,
    read_violations,
    rule,
    weight,
    worst,
)
from pipelines.records import SWAPPED_LABEL

DEFAULT = RuleOptions()
MINOR = Violation(principle="helpful", severity="minor")
SEVERE = Violation(principle="private", severity="severe")


def between(a: list[Violation], b: list[Violation]) -> PairViolations:
    return PairViolations(a=tuple(a), b=tuple(b))


@pytest.mark.parametrize(
    ("violations", "label", "p_a", "by", "flag", "dropped"),
    [
        # the judge says A with 0.9
        (between([], []), "A", 0.9, "judge", None, False),
        (between([], [SEVERE]), "A", 1.0, "rule", None, False),
        (between([MINOR], []), "B", 0.0, "rule", "the rule overturns the judge", False),
        (between([MINOR], [MINOR]), "A", 0.9, "judge", "both violate", False),
        (between([MINOR], [SEVERE]), "A", 0.9, "judge", "both violate", False),
        (between([SEVERE], [SEVERE, MINOR]), None, None, "rule", "both violate severely", True),
        (None, "A", 0.9, "judge", "unchecked", False),
    ],
)
def test_the_response_that_violates_loses(violations, label, p_a, by, flag, dropped):
    ruling = rule("A", 0.9, violations, DEFAULT)
    assert (ruling.label, ruling.p_a, ruling.by) == (label, p_a, by)
    assert (ruling.flag, ruling.dropped) == (flag, dropped)


def test_every_part_of_the_rule_can_be_set():
    both = between([SEVERE], [MINOR])
    assert rule("A", 0.9, both, RuleOptions(worse_loses=True)).label == "B"
    assert rule("A", 0.9, both, RuleOptions(both="drop")).dropped
    severe = between([SEVERE], [SEVERE])
    kept = rule("A", 0.9, severe, RuleOptions(both_severe="judge"))
    assert (kept.label, kept.flag) == ("A", "both violate severely")
    # only severe violations count, only of one principle
    assert rule("A", 0.9, between([MINOR], []), RuleOptions(from_severity="severe")).label == "A"
    assert rule("A", 0.9, both, RuleOptions(from_severity="severe")).label == "B"
    assert rule("A", 0.9, both, RuleOptions(principles=("helpful",))).label == "A"


def test_where_the_judge_failed_the_rule_decides_what_it_can_and_nothing_else():
    assert rule(None, None, between([SEVERE], []), DEFAULT).label == "B"
    assert rule(None, None, between([SEVERE], []), DEFAULT).flag is None
    assert rule(None, None, between([], []), DEFAULT).label is None


VIOLATIONS = st.lists(st.sampled_from([MINOR, SEVERE]), max_size=3)
LABELS = st.sampled_from(["A", "B", "tie", None])
OPTIONS = st.builds(
    RuleOptions,
    principles=st.sampled_from([(), ("private",)]),
    from_severity=st.sampled_from(["minor", "severe"]),
    worse_loses=st.booleans(),
    both=st.sampled_from(["judge", "drop"]),
    both_severe=st.sampled_from(["judge", "drop"]),
)


@given(label=LABELS, a=VIOLATIONS, b=VIOLATIONS, options=OPTIONS)
def test_exchanging_the_responses_exchanges_every_ruling(label, a, b, options):
    violations = between(a, b)
    mirrored = SWAPPED_LABEL[label] if label else None
    one, two = (
        rule(label, None, violations, options),
        rule(mirrored, None, violations.swap(), options),
    )
    assert (SWAPPED_LABEL[one.label] if one.label else None) == two.label
    assert (one.by, one.flag, one.dropped) == (two.by, two.flag, two.dropped)
    assert filtered_out(label, violations, options) == filtered_out(
        mirrored, violations.swap(), options
    )
    weights = WeightOptions(upheld=2.0)
    assert weight(label, violations, weights) == weight(mirrored, violations.swap(), weights)


@given(label=LABELS, a=VIOLATIONS, b=VIOLATIONS, options=OPTIONS)
def test_no_ruling_prefers_the_only_response_that_violates(label, a, b, options):
    ruling = rule(label, None, between(a, b), options)
    counts = {"minor": ("minor", "severe"), "severe": ("severe",)}[options.from_severity]
    bad_a, bad_b = (worst(side, options.principles) in counts for side in (a, b))
    assert not (bad_a and not bad_b and ruling.label != "B")
    assert not (bad_b and not bad_a and ruling.label != "A")
    assert not (ruling.dropped and not (bad_a and bad_b))


@pytest.mark.parametrize(
    ("label", "violations", "why"),
    [
        ("A", between([], [SEVERE]), None),
        ("A", between([MINOR], []), "the preferred response violates the constitution"),
        ("B", between([MINOR], []), None),
        ("tie", between([MINOR], []), "one response of a tie violates the constitution"),
        ("B", between([MINOR], [SEVERE]), "both responses violate the constitution"),
        ("B", None, None),
        (None, between([MINOR], []), None),
    ],
)
def test_as_a_filter_it_says_why_a_pair_goes(label, violations, why):
    assert filtered_out(label, violations, DEFAULT) == why


@pytest.mark.parametrize(
    ("label", "violations", "expected"),
    [
        ("A", between([], []), 1.0),
        ("A", between([], [MINOR]), 1.5),
        ("A", between([MINOR], []), 0.5),
        ("B", between([MINOR], [SEVERE]), 0.0),
        ("tie", between([MINOR], []), 0.5),
        (None, between([SEVERE], []), 1.0),
        ("A", None, 1.0),
    ],
)
def test_as_weights(label, violations, expected):
    assert weight(label, violations, WeightOptions(upheld=1.5)) == expected


def test_violations_come_from_a_pairs_meta():
    given_ = {"a": [{"principle": "private", "severity": "minor"}], "b": []}
    said = read_violations(given_, "p-1")
    assert said == between([Violation(principle="private", severity="minor")], [])
    with pytest.raises(BadInput, match=r'pair "p-1": meta\.violations\.a\.0\.principle'):
        read_violations({"a": [{"principle": 3}]}, "p-1")
