"""Win rates in words: which policy is the better one, and what is behind each comparison."""

from collections.abc import Sequence

import pandas as pd

from pipelines.agreement.estimate import Estimate
from pipelines.evaluate.result import MatchupFound
from workbench.app.words import estimates_table, for_chart, interval_words, plain

KINDS = ("ties half", "at equal length", "corrected", "raw", "in truth (sandbox)")
_BY_JUDGE, _BY_PEOPLE = "by the judge alone, ties half", "corrected by people's labels"


def rates_of(one: MatchupFound) -> dict[str, Estimate | None]:
    """The win rates of a matchup, by kind."""
    return {
        "raw": one.win.raw,
        "ties half": one.win.tie_aware,
        "at equal length": None if one.length is None else one.length.win_rate,
        "corrected": None if one.corrected is None else one.corrected.corrected,
        "in truth (sandbox)": one.truth,
    }


def rates_table(matchups: Sequence[MatchupFound]) -> pd.DataFrame:
    """Every figure of the matchups, a row each, for the file."""
    rows: list[tuple[str, Estimate | None]] = []
    for one in matchups:
        rows += [
            (f"{title_of(one)}: {kind}", value)
            for kind, value in rates_of(one).items()
            if value is not None or kind != KINDS[-1]
        ]
        if one.corrected is not None:
            rows.append((f"{title_of(one)}: people's labels alone", one.corrected.human))
            rows.append((f"{title_of(one)}: judge less people", one.corrected.excess))
        if one.self_preference is not None:
            rows.append((f"{title_of(one)}: self-preference", one.self_preference.excess))
        rows.append((f"{title_of(one)}: Rogan-Gladen, decisive pairs", one.rogan_gladen))
        rows.append((f"{title_of(one)}: verdicts that flip with the order", one.flips))
    return estimates_table(rows, "win rate")


def headline(matchups: Sequence[MatchupFound]) -> str:
    """The answer in a sentence: who is better than whom, or that nobody can be told apart.

    Args:
        matchups: Of one judge, at least one.
    """
    if len(matchups) == 1:
        return _of_two(matchups[0])
    wins: dict[str, list[str]] = {}
    even: dict[str, list[str]] = {}
    for one in matchups:
        won = _side(_goes_by(one)[0])
        first, second = (one.first, one.second) if won >= 0 else (one.second, one.first)
        for name, other in ((first, second), (second, first)):
            wins.setdefault(name, [])
            if won == 0:
                even.setdefault(name, []).append(other)
        if won:
            wins[first].append(second)
    if not any(wins.values()):
        return "No policy can be told from another."
    lost = {name: [one for one in wins if name in wins[one]] for name in wins}
    best = max(wins, key=lambda name: len(wins[name]) - len(lost[name]))
    said = f"Best: {best}. It is better than {_names(wins[best]) or 'nobody'}"
    if lost[best]:
        said += f", worse than {_names(lost[best])}"
    if best in even:
        said += f", and cannot be told from {_names(even[best])}"
    hows = {_goes_by(one)[1] for one in matchups}
    return f"{said} ({hows.pop() if len(hows) == 1 else 'corrected where people labelled'})."


def _names(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _of_two(one: MatchupFound) -> str:
    rate, how = _goes_by(one)
    won = _side(rate)
    if won == 0:
        said = f"{one.first} and {one.second} cannot be told apart: {one.first} wins"
    else:
        better, worse = (one.first, one.second) if won > 0 else (one.second, one.first)
        said = f"{better} is better than {worse}: {one.first} wins"
    return f"{said} {interval_words(rate)}, {how}."


def _goes_by(one: MatchupFound) -> tuple[Estimate, str]:
    """The rate that answers best, and what it is."""
    if one.corrected is not None:
        return one.corrected.corrected, _BY_PEOPLE
    return one.win.tie_aware, _BY_JUDGE


def _side(rate: Estimate) -> int:
    """1: the first is better, -1: the second, 0: one half lies in the interval."""
    return (rate.low > 0.5) - (rate.high < 0.5)


def sentences_on(one: MatchupFound) -> str:
    """One comparison in words: the test, what could be seen, length, and the correction."""
    win = one.win
    said = (
        f"**{plain(title_of(one))}**: {win.wins:,} wins, {win.ties:,} ties, {win.losses:,} "
        f"losses. Were the two alike, a gap so wide would come by chance with p = "
        f"{win.p_value:.3g} (exact, by prompt; {one.p_adjusted:.3g} for all comparisons together). "
    )
    if win.detectable is not None:
        said += (
            f"With so many prompts, a true win rate {100 * win.detectable:.1f} points from one "
            "half would be found in four of five such runs"
        )
        if one.corrected_detectable is not None:
            said += f", a corrected one {100 * one.corrected_detectable:.1f} points from it"
        said += ". "
    if one.n_same:
        said += f"{one.n_same:,} of the ties are equal responses. "
    if one.n_unjudged:
        said += f"{one.n_unjudged:,} pairs have no verdict (failed) and are not counted. "
    if one.length is not None:
        slope = one.length.slope
        likes = "longer" if slope.low > 0 else "shorter" if slope.high < 0 else ""
        said += (
            f"This judge prefers the {likes} response, all else equal. "
            if likes
            else "Length does not visibly sway this judge. "
        )
    if one.corrected is None:
        said += "Not corrected: people have labelled too few of these pairs."
    else:
        fixed = one.corrected
        said += (
            f"Corrected by {fixed.n_labelled:,} human labels: p = {fixed.p_value:.3g}; the judge "
            f"counts with weight {fixed.weight:.2f}, and is worth {fixed.gain:.1f} times the human "
            f"labels. {_excess_words(fixed.excess)}"
        )
    return said


def _excess_words(excess: Estimate) -> str:
    """How much the judge favours the first policy beyond what people say."""
    points = f"{abs(100 * excess.estimate):.1f} points"
    than = "more" if excess.estimate >= 0.0 else "less"
    return (
        f"It gives the first policy {points} {than} than people do ({100 * excess.low:+.1f} to "
        f"{100 * excess.high:+.1f}, n = {excess.n:,})."
    )


def title_of(one: MatchupFound) -> str:
    """A comparison's name, for a chart or a table."""
    return f"{for_chart(one.first, 30)} over {for_chart(one.second, 30)}"
