"""What became of it round by round, as a table."""

from typing import Any

from workbench.running.rounds import by_round


def share(policy: str, estimate: float) -> dict[str, Any]:
    found = {"estimate": estimate, "low": 0.0, "high": 1.0, "n": 20}
    return {"suite": "Red team", "policy": policy, "share": found}


def step(turn: int, before: float, after: float, gain: float) -> dict[str, Any]:
    figures = {"suites": [share("before", before), share("after", after)]}
    return {"stage": "evaluate", "round": turn, "gain": gain, "figures": figures}


def test_each_round_is_a_row_and_the_first_row_is_where_they_begin() -> None:
    others = [{"stage": "judge", "round": 1, "gain": None, "figures": {}}]
    rows = list(by_round([*others, step(1, 0.4, 0.2, 0.6), step(2, 0.2, 0.1, 0.5)]))
    assert [row.split() for row in rows[1:]] == [
        ["0", "40.0%", "(0.0%", "to", "100.0%,", "n", "=", "20)"],
        ["1", "20.0%", "(0.0%", "to", "100.0%,", "n", "=", "20)", "60.0%"],
        ["2", "10.0%", "(0.0%", "to", "100.0%,", "n", "=", "20)", "50.0%"],
    ]


def test_a_recipe_without_rounds_has_no_table() -> None:
    once = step(1, 0.4, 0.2, 0.6) | {"round": 0}
    assert list(by_round([once])) == []
