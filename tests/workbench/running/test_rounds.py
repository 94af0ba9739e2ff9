"""What became of it round by round, as a table."""

from typing import Any

from pipelines.agreement.estimate import Estimate
from pipelines.run import Step
from workbench.running.rounds import by_round
from workbench.running.run import plateau

INTERVAL = ["(30.0%", "to", "90.0%,", "n", "=", "20)"]


def share(policy: str, estimate: float) -> dict[str, Any]:
    found = {"estimate": estimate, "low": 0.0, "high": 1.0, "n": 20}
    return {"suite": "Red team", "policy": policy, "share": found}


def step(turn: int, before: float, after: float, gain: float) -> dict[str, Any]:
    figures = {"suites": [share("before", before), share("after", after)]}
    rate = {"estimate": gain, "low": 0.3, "high": 0.9, "n": 20}
    return {"stage": "evaluate", "round": turn, "gain": rate, "figures": figures}


def test_each_round_is_a_row_and_the_first_row_is_where_they_begin() -> None:
    others = [{"stage": "judge", "round": 1, "gain": None, "figures": {}}]
    rows = list(by_round([*others, step(1, 0.4, 0.2, 0.6), step(2, 0.2, 0.1, 0.5)]))
    assert [row.split() for row in rows[1:]] == [
        ["0", "40.0%", "(0.0%", "to", "100.0%,", "n", "=", "20)"],
        ["1", "20.0%", "(0.0%", "to", "100.0%,", "n", "=", "20)", "60.0%", *INTERVAL],
        ["2", "10.0%", "(0.0%", "to", "100.0%,", "n", "=", "20)", "50.0%", *INTERVAL],
    ]


def test_a_recipe_without_rounds_has_no_table() -> None:
    once = step(1, 0.4, 0.2, 0.6) | {"round": 0}
    assert list(by_round([once])) == []


def test_rounds_end_by_the_estimate_and_say_when_the_interval_would_not() -> None:
    asked = Step(stage="evaluate", each_round=True, stop_below=0.52)
    gains = [Estimate(at, at - 0.05, at + 0.05, "cluster", 300) for at in (0.46, 0.5, 0.53)]
    below, torn, above = (plateau(asked, gain) for gain in gains)
    assert below == "46.0% (41.0% to 51.0%, n = 300) is not above 52.0%: the rounds end here"
    assert torn is not None
    assert "the rounds end here; its interval reaches above" in torn
    assert above is None
    assert plateau(Step(stage="evaluate"), gains[0]) is None
    assert plateau(asked, None) is None
