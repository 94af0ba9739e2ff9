"""What the tests of critique and revision share: a small constitution, and answers without a model.

`drive` runs the state machine by itself; `Answers` is an engine that answers from a function.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path

from pipelines.constitution.loop import RevisePlan, Role, revise
from pipelines.constitution.prompts import load_prompts
from pipelines.constitution.records import Constitution, Principle
from pipelines.constitution.trajectory import Response, Trajectory
from pipelines.models.engine import Key, Reply, Request

DATA = Path(__file__).parents[1] / "data"
KEPT = "Verdict: satisfied\nWhy: It is well.\nImprove: nothing"
BROKEN = "Verdict: violated\nWhy: It is {principle}-less.\nImprove: Add {principle}."

Answer = Callable[[Role, Request], Reply]


def constitution(*ids: str) -> Constitution:
    """Principles that are kept by a response which holds their id as a word."""
    return Constitution(
        name="Words",
        principles=tuple(
            Principle(
                id=id,
                name=id.title(),
                description=f"Say {id}.",
                comparison_question=f"Which says {id}?",
                critique_question=f"Does it fail to say {id}?",
                revision_request=f"Say {id}.",
            )
            for id in ids
        ),
    )


def plan(*ids: str, **changes: object) -> RevisePlan:
    """A plan over those principles."""
    rules = constitution(*(ids or ("kind", "true")))
    return RevisePlan(
        constitution=rules,
        constitution_hash=rules.hash(),
        prompts=load_prompts("en", (DATA,)),
        critic="critic",
        reviser="reviser",
        **changes,  # type: ignore[arg-type]  # fields of the plan, by name
    )


def principle_of(request: Request) -> str:
    """Which principle a request is about."""
    lines = request.messages[1].content.splitlines()
    return next(line for line in lines if line.startswith("Principle: ")).split()[1]


def response_of(request: Request) -> str:
    """The response that a request shows."""
    text = request.messages[1].content
    part = text.split("### Response\n", 1)[1]
    mark, rest = part.split("\n", 1)
    return rest.split(f"\n</{mark[1:]}", 1)[0]


def honest(role: Role, request: Request) -> Reply:
    """Sees every missing word, and adds it."""
    word, text = principle_of(request), response_of(request)
    if role == "reviser":
        return Reply(text=f"{text} {word}")
    kept = word in text.split()
    return Reply(text=KEPT if kept else BROKEN.format(principle=word))


def drive(plan: RevisePlan, response: Response, answer: Answer = honest) -> Trajectory:
    """The trajectory under these answers."""
    loop = revise(plan, response)
    try:
        call = next(loop)
        while True:
            call = loop.send(tuple(answer(call.role, one) for one in call.requests))
    except StopIteration as end:
        trajectory: Trajectory = end.value
        return trajectory


class Answers:
    """An engine in process; `n_asked` counts, `delay_s` waits."""

    def __init__(self, role: Role | None = None, answer: Answer = honest, window: int = 8):
        self.name = "answers"
        self.window = window
        self.asked: list[Request] = []
        self._role = role
        self._answer = answer

    async def ask(
        self, requests: AsyncIterator[tuple[Key, Request]]
    ) -> AsyncGenerator[tuple[Key, Reply], None]:
        """One after the other."""
        async for key, request in requests:
            self.asked.append(request)
            await asyncio.sleep(0)
            wants = request.messages[-1].content.splitlines()[-1]
            role: Role = "reviser" if wants.startswith("Write only") else "critic"
            yield key, self._answer(self._role or role, request)
