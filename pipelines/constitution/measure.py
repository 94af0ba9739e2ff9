"""What revision did, in numbers: violations before and after, rounds, length, refusals, failures.

Every rate is the critic's word (how far it can be trusted is for people to say, on the page
*Constitution*). A failed critique says nothing and is left out, and counted. Intervals go by
prompt where several responses answer one prompt.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from pipelines.agreement.estimate import Estimate
from pipelines.agreement.intervals import Clusters, mean_of, standard_error
from pipelines.agreement.paired import compare_paired
from pipelines.constitution.trajectory import Trajectory, Verdict
from pipelines.judge.parse import is_refusal

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])")
_OPENING = 3  # sentences


@dataclass(frozen=True)
class PrincipleChange:
    """One principle: the share of responses that violate it, as the critic sees it.

    `before` and `after` are over responses with a verdict then; `change` (after less before) over
    those with both.
    """

    principle: str
    before: Estimate | None
    after: Estimate | None
    change: Estimate | None
    by_round: tuple[Estimate | None, ...]  # after 0, 1, ... rounds of revision


@dataclass(frozen=True)
class ReviseStatistics:
    """All numbers of the stage."""

    n_responses: int
    n_prompts: int
    endings: dict[str, int]
    rounds_needed: dict[str, int]  # of those that end satisfied: rounds of revision -> responses
    mean_rounds: Estimate | None  # of those; t interval
    satisfied_share: Estimate | None
    any_before: Estimate | None  # violate at least one principle
    any_after: Estimate | None
    principles: tuple[PrincipleChange, ...]
    changed_share: Estimate | None
    length_ratio: Estimate | None  # geometric mean of last length over first, of changed ones
    n_refusals_gained: int
    n_refusals_lost: int
    refusals_gained: Estimate | None  # of those that did not refuse at first
    n_critiques: int
    n_revisions: int
    n_asked_again: int
    failures: dict[str, dict[str, int]]  # "critique"/"revision" -> reason -> number


def measure(trajectories: Iterable[Trajectory], principles: Sequence[str]) -> ReviseStatistics:
    """The statistics of a run.

    Args:
        trajectories: Of the run's responses.
        principles: Ids, in the constitution's order.
    """
    tally = _Tally(tuple(principles))
    for one in trajectories:
        tally.add(one)
    return tally.result()


def refuses(text: str) -> bool:
    """Whether a response declines in one of its first sentences, by its words (English, Chinese).

    A greeting or an apology may come before. Words alone: it misses refusals put otherwise.
    """
    sentences = _SENTENCE_END.split(text.strip(), maxsplit=_OPENING)[:_OPENING]
    return any(is_refusal(sentence) for sentence in sentences)


class _Tally:
    """Adds trajectories up, keeping a few numbers of each, never its texts."""

    def __init__(self, principles: tuple[str, ...]):
        self.principles = principles
        self.prompts: dict[str, int] = {}
        self.prompt: list[int] = []
        # By response: by round the verdicts in the principles' order; None where there is none.
        self.verdicts: list[list[tuple[Verdict | None, ...]]] = []
        self.endings: Counter[str] = Counter()
        self.rounds: list[tuple[int, int]] = []  # prompt, rounds; of the satisfied
        self.log_ratio: list[tuple[int, float]] = []
        self.changed: list[bool] = []
        self.refusals: list[tuple[bool, bool]] = []
        self.n_critiques = self.n_revisions = self.n_asked_again = 0
        self.failures: dict[str, Counter[str]] = {"critique": Counter(), "revision": Counter()}

    def add(self, one: Trajectory) -> None:
        key = one.response.prompt_id or repr(one.response.prompt)
        prompt = self.prompts.setdefault(key, len(self.prompts))
        self.prompt.append(prompt)
        self.endings[one.ending] += 1
        if one.ending == "satisfied":
            self.rounds.append((prompt, one.n_revised))
        self.verdicts.append(
            [tuple(each.verdict(id) for id in self.principles) for each in one.rounds]
        )
        first, last = one.response.text, one.final
        self.changed.append(one.changed)
        if one.changed and first.strip() and last.strip():
            ratio = math.log(len(last.strip()) / len(first.strip()))
            self.log_ratio.append((prompt, ratio))
        self.refusals.append((refuses(first), refuses(last)))
        for each in one.rounds:
            self.n_critiques += len(each.critiques)
            self.n_revisions += len(each.revisions)
            self.n_asked_again += sum(critique.asked_again for critique in each.critiques)
        for kind, failure in one.failures():
            self.failures[kind][failure] += 1

    def result(self) -> ReviseStatistics:
        before = [any(v == "violated" for v in rounds[0]) for rounds in self.verdicts]
        after = [any(v == "violated" for v in rounds[-1]) for rounds in self.verdicts]
        known_before = [_known(rounds[0]) for rounds in self.verdicts]
        known_after = [_known(rounds[-1]) for rounds in self.verdicts]
        open_at_first = [not first for first, _ in self.refusals]
        gained = [last and not first for first, last in self.refusals]
        return ReviseStatistics(
            n_responses=len(self.prompt),
            n_prompts=len(self.prompts),
            endings=dict(sorted(self.endings.items())),
            rounds_needed={
                str(n): count for n, count in sorted(Counter(n for _, n in self.rounds).items())
            },
            mean_rounds=_mean([n for _, n in self.rounds], [prompt for prompt, _ in self.rounds]),
            satisfied_share=self._share(
                [len(rounds[-1]) > 0 for rounds in self.verdicts],
                [all(v == "satisfied" for v in rounds[-1]) for rounds in self.verdicts],
            ),
            any_before=self._share(known_before, before),
            any_after=self._share(known_after, after),
            principles=tuple(self._principle(place) for place in range(len(self.principles))),
            changed_share=self._share([True] * len(self.changed), self.changed),
            length_ratio=_geometric(
                [value for _, value in self.log_ratio], [prompt for prompt, _ in self.log_ratio]
            ),
            n_refusals_gained=sum(gained),
            n_refusals_lost=sum(first and not last for first, last in self.refusals),
            refusals_gained=self._share(open_at_first, gained),
            n_critiques=self.n_critiques,
            n_revisions=self.n_revisions,
            n_asked_again=self.n_asked_again,
            failures={kind: dict(sorted(found.items())) for kind, found in self.failures.items()},
        )

    def _principle(self, place: int) -> PrincipleChange:
        first = [rounds[0][place] for rounds in self.verdicts]
        last = [rounds[-1][place] for rounds in self.verdicts]
        both = [n for n in range(len(first)) if first[n] is not None and last[n] is not None]
        change = None
        if both:
            change = compare_paired(
                np.array([last[n] == "violated" for n in both], dtype=np.float64),
                np.array([first[n] == "violated" for n in both], dtype=np.float64),
                np.array([self.prompt[n] for n in both], dtype=np.int64),
            ).difference
        n_rounds = max((len(rounds) for rounds in self.verdicts), default=0)
        return PrincipleChange(
            principle=self.principles[place],
            before=self._rate(first),
            after=self._rate(last),
            change=change,
            # A response that was done earlier stays as it was.
            by_round=tuple(
                self._rate([rounds[min(n, len(rounds) - 1)][place] for rounds in self.verdicts])
                for n in range(n_rounds)
            ),
        )

    def _rate(self, verdicts: Sequence[Verdict | None]) -> Estimate | None:
        return self._share(
            [verdict is not None for verdict in verdicts],
            [verdict == "violated" for verdict in verdicts],
        )

    def _share(self, counted: Sequence[bool], hits: Sequence[bool]) -> Estimate | None:
        """The share of hits among the responses that count."""
        rows = [n for n, counts in enumerate(counted) if counts]
        if not rows:
            return None
        scores = np.array([hits[n] for n in rows], dtype=np.float64)
        return mean_of(scores, Clusters.of(np.array([self.prompt[n] for n in rows])))


def _known(verdicts: Sequence[Verdict | None]) -> bool:
    """Whether these verdicts say if anything is violated."""
    return "violated" in verdicts or (len(verdicts) > 0 and None not in verdicts)


def _mean(values: Sequence[float], prompts: Sequence[int]) -> Estimate | None:
    """A mean with a t interval by prompt; None where there is no spread to go by."""
    clusters = Clusters.of(np.array(prompts, dtype=np.int64))
    if clusters.n_clusters < 2:
        return None
    numbers = np.array(values, dtype=np.float64)
    mean = float(numbers.mean())
    spread = standard_error(numbers - mean, clusters)
    if not clusters.repeated:
        spread *= math.sqrt(len(values) / (len(values) - 1))
    half = float(stats.t.ppf(0.975, clusters.n_clusters - 1)) * spread
    return Estimate(mean, mean - half, mean + half, "t", len(values))


def _geometric(logs: Sequence[float], prompts: Sequence[int]) -> Estimate | None:
    found = _mean(logs, prompts)
    if found is None:
        return None
    low, middle, high = (math.exp(x) for x in (found.low, found.estimate, found.high))
    return Estimate(middle, low, high, "t on logarithms", found.n)
