"""Critique and revision of one response, as a state machine: it yields calls and takes replies.

Each round asks the critic about every principle (or a random few), then the reviser about each one
that is violated, one after the other, each on top of the last. It ends when the critic finds every
principle kept, or after `max_iterations` rounds of revision; the last text is always criticised, so
that violations before and after are counted by the same critic. No I/O: any engine can run it.

Source: Bai et al. (2022), arXiv:2212.08073, section 3, for one principle a revision and for random
principles; the verdicts and the stop are ours.
"""

import hashlib
import json
import random
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from pipelines.constitution.parse import Finding, parse_critique, write_critique
from pipelines.constitution.prompts import RevisePrompts
from pipelines.constitution.records import Constitution, Principle
from pipelines.constitution.trajectory import (
    Critique,
    Ending,
    Response,
    Revision,
    Round,
    Trajectory,
)
from pipelines.judge.asking import REPAIR_MARK, Answer, Said, Step, one, readable, together
from pipelines.judge.parse import is_refusal
from pipelines.judge.question import harmless
from pipelines.models.engine import Reply, Request
from pipelines.records import Message

T = TypeVar("T")
Role = Literal["critic", "reviser"]

_QUOTED_CHARS = 4000  # of an unreadable critique, in the question after it
# Rounds, principles and roles draw from seeds of their own, far enough apart.
_SEEDS_A_ROUND = 1000


@dataclass(frozen=True)
class Call:
    """Requests to one role, to be answered together."""

    role: Role
    requests: tuple[Request, ...]


Loop = Generator[Call, tuple[Reply, ...], T]


@dataclass(frozen=True)
class RevisePlan:
    """How responses are criticised and revised."""

    constitution: Constitution
    constitution_hash: str
    prompts: RevisePrompts
    critic: str  # as critiques name it
    reviser: str
    max_iterations: int = 3
    principles_per_round: int = 0  # a random subset; 0: all of them
    seed: int = 0
    critique_temperature: float = 0.0
    revision_temperature: float = 0.3
    critique_tokens: int = 512
    revision_tokens: int = 1024
    # What else changes the answers: the models and how they sample (`ModelSpec`), as JSON.
    critic_asked: str = ""
    reviser_asked: str = ""

    def hash(self) -> str:
        """Names all that changes a question or an answer: equal hashes, equal trajectories."""
        asked = {
            "constitution": self.constitution_hash,
            "prompts": self.prompts.hash(),
            "models": [self.critic, self.critic_asked, self.reviser, self.reviser_asked],
            "numbers": [
                self.max_iterations,
                self.principles_per_round,
                self.seed,
                self.critique_temperature,
                self.revision_temperature,
                self.critique_tokens,
                self.revision_tokens,
            ],
        }
        text = json.dumps(asked, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    @property
    def samples_principles(self) -> bool:
        """Whether a round asks some principles only."""
        return 0 < self.principles_per_round < len(self.constitution.principles)


def revise(plan: RevisePlan, response: Response) -> Loop[Trajectory]:
    """The whole way of one response.

    Yields calls and takes their replies in the same order. A failed reply never raises: it becomes
    a critique or revision with that failure.
    """
    text, rounds = response.text, list[Round]()
    for number in range(plan.max_iterations + 1):
        last = number == plan.max_iterations
        asked = principles_of_round(plan, response.id, number)
        critiques = yield from _to(
            "critic",
            together([_criticise(plan, one, response, text, number) for one in asked]),
        )
        done = Round(text=text, critiques=tuple(critiques))
        if not last:
            revisions = list[Revision]()
            for critique in done.violated():
                revision = yield from _to(
                    "reviser", _rewrite(plan, critique, response, text, number)
                )
                revisions.append(revision)
                text = text if revision.text is None else revision.text
            done = done.model_copy(update={"revisions": tuple(revisions)})
        rounds.append(done)
        # With a random few, a round without a violation says little about the other principles.
        if not done.violated() and not plan.samples_principles:
            break
    return Trajectory(response=response, rounds=tuple(rounds), final=text, ending=_ending(rounds))


def principles_of_round(plan: RevisePlan, id: str, number: int) -> Sequence[Principle]:
    """The principles that are asked: all, or a random few; of the last text always all."""
    principles = plan.constitution.principles
    if not plan.samples_principles or number == plan.max_iterations:
        return principles
    rng = random.Random(f"{plan.seed}/{number}/{id}")
    chosen = set(rng.sample(range(len(principles)), plan.principles_per_round))
    return [one for place, one in enumerate(principles) if place in chosen]


def most_calls(plan: RevisePlan) -> tuple[int, int]:
    """The most critiques and revisions that one response can take, repairs left out."""
    n_all = len(plan.constitution.principles)
    n_asked = plan.principles_per_round if plan.samples_principles else n_all
    return plan.max_iterations * n_asked + n_all, plan.max_iterations * n_asked


def _ending(rounds: Sequence[Round]) -> Ending:
    last = rounds[-1]
    if last.violated():
        return "max_iterations"
    failed = sum(one.failure is not None for one in last.critiques)
    if not failed:
        return "satisfied"
    return "failed" if failed == len(last.critiques) else "undecided"


def _to(role: Role, steps: Step[T]) -> Loop[T]:
    """Steps whose requests all go to one role."""
    try:
        wanted = next(steps)
        while True:
            replies = yield Call(role, wanted)
            wanted = steps.send(replies)
    except StopIteration as end:
        value: T = end.value
        return value


def _criticise(
    plan: RevisePlan, principle: Principle, response: Response, text: str, number: int
) -> Step[Critique]:
    messages = plan.prompts.to_critic(principle, response.prompt, text)
    # The round is in the seed: what a critic overlooked once, it may see the next time.
    request = Request(
        messages=messages,
        max_tokens=plan.critique_tokens,
        temperature=plan.critique_temperature,
        seed=plan.seed + number * _SEEDS_A_ROUND,
        shared_chars=len(messages[0].content),
    )
    first = readable((yield from one(request)))
    said, again = first.said if isinstance(first, Answer) else first.whole, False
    found = first if isinstance(first, Answer) else _found(first)
    if isinstance(first, Said) and isinstance(found, Answer) and found.failure == "unparsed":
        again = True
        quoted = harmless(first.text[:_QUOTED_CHARS]) or "..."
        second = readable(
            (
                yield from one(
                    Request(
                        messages=(
                            *messages,
                            Message(role="assistant", content=quoted),
                            plan.prompts.to_critic_again(principle),
                        ),
                        max_tokens=plan.critique_tokens,
                        temperature=0.0,
                        seed=plan.seed + number * _SEEDS_A_ROUND + 1,
                        shared_chars=len(messages[0].content),
                    )
                )
            )
        )
        found = second if isinstance(second, Answer) else _found(second)
        more = second.said if isinstance(second, Answer) else second.whole
        said = f"{first.whole}{REPAIR_MARK}{more or ''}"
    about = {
        "principle": principle.id,
        "constitution": plan.constitution_hash,
        "critic": plan.critic,
        "asked_again": again,
    }
    if isinstance(found, Answer):
        return Critique.model_validate({**about, "failure": found.failure, "said": said})
    return Critique.model_validate(
        {
            **about,
            "verdict": found.verdict,
            "why": found.why,
            "improve": found.improve,
            "said": said if again else None,
        }
    )


def _found(said: Said) -> Finding | Answer:
    finding = parse_critique(said.text)
    if finding is not None:
        return finding
    return Answer(failure="refused" if is_refusal(said.text) else "unparsed")


def _rewrite(
    plan: RevisePlan, critique: Critique, response: Response, text: str, number: int
) -> Step[Revision]:
    principle = plan.constitution.principle(critique.principle)
    if principle is None:
        raise ValueError(f"a critique under a principle that is not there: {critique.principle}")
    finding = Finding("violated", critique.why or "", critique.improve or "")
    messages = plan.prompts.to_reviser(principle, response.prompt, text, write_critique(finding))
    reply = readable(
        (
            yield from one(
                Request(
                    messages=messages,
                    max_tokens=plan.revision_tokens,
                    temperature=plan.revision_temperature,
                    seed=plan.seed + number * _SEEDS_A_ROUND + 2,
                    shared_chars=len(messages[0].content),
                )
            )
        )
    )
    about = {
        "principle": principle.id,
        "constitution": plan.constitution_hash,
        "reviser": plan.reviser,
    }
    if isinstance(reply, Answer):
        return Revision.model_validate({**about, "failure": reply.failure, "said": reply.said})
    # A refusal may be what a principle asks for, so it is a revision like any other; it is counted
    # in the statistics (refusals gained).
    if not reply.text.strip():
        return Revision.model_validate({**about, "failure": "unparsed", "said": reply.whole})
    return Revision.model_validate({**about, "text": reply.text.strip()})
