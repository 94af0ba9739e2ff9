"""Tags and ratings are given on the left and right, and read on the responses."""

import pytest

from workbench.audit.remarks import Remarks, by_response

DETAILS = {
    "tags": {"left": ["made up"], "right": ["unsafe", "off topic"]},
    "criteria": {"helpful": {"left": 2, "right": 5}, "honest": {"right": 4}},
}


def test_a_remark_on_the_left_is_one_on_the_response_that_stood_there():
    straight = by_response(DETAILS, "A")
    assert straight.tags == {"A": ("made up",), "B": ("unsafe", "off topic")}
    assert straight.ratings == {"helpful": {"A": 2, "B": 5}, "honest": {"B": 4}}
    swapped = by_response(DETAILS, "B")
    assert swapped.tags == {"A": ("unsafe", "off topic"), "B": ("made up",)}
    assert swapped.ratings == {"helpful": {"A": 5, "B": 2}, "honest": {"A": 4}}
    assert str(swapped) == ("A: unsafe, off topic; B: made up; helpful: A 5, B 2; honest: A 4")


@pytest.mark.parametrize(
    ("details", "left"),
    [
        ({}, "A"),
        (None, "A"),
        ({"tags": {"left": [], "right": []}, "criteria": {}}, "B"),
        (DETAILS, None),
        ({"criteria": {"helpful": 3, "honest": {"left": True}}}, "A"),
    ],
)
def test_nothing_said_is_nothing(details, left):
    remarks = by_response(details, left)
    assert remarks == Remarks()
    assert not remarks
    assert remarks.as_dict() == {}
