"""A judge of mode "rating" as a function: responses in, ratings out, as a trainer asks for them.

Nothing is logged: the responses are of a policy that changes with every step.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing

from pipelines.errors import BadInput, ServiceFailed
from pipelines.judge.asking import Asking, Step, together
from pipelines.judge.question import response_text
from pipelines.judge.ratings import ask_rating, criterion_weights
from pipelines.judge.spec import JudgeSpec
from pipelines.judge.template import Template
from pipelines.models.engine import Engine, Reply, Request
from pipelines.models.opening import price_of
from pipelines.records import Message
from pipelines.stages.budget import Budget


class Rater:
    """Rates responses on all criteria of weight, 0 to 1; NaN where a rating failed."""

    def __init__(
        self, spec: JudgeSpec, template: Template, budget: Budget, opened: Callable[[], Engine]
    ):
        """Asks nothing yet.

        Args:
            spec: The judge.
            template: Its prompt.
            budget: What it may use in all.
            opened: Its engine; called at the first rating, and then kept.

        Raises:
            BadInput: The judge is of another mode.
        """
        if spec.mode != "rating":
            raise BadInput(
                f'judge "{spec.name}" is in mode {spec.mode}; a reward needs a judge in mode '
                '"rating", which scores one response alone'
            )
        self.asking = Asking(spec, template)
        self.budget = budget
        self._opened = opened
        self._engine: Engine | None = None
        self._price = price_of(spec)

    def __call__(
        self, prompts: Sequence[tuple[Message, ...]], responses: Sequence[str]
    ) -> list[float]:
        """The ratings, in order.

        Raises:
            ServiceFailed: The engine gave up, or what is to be asked would break the budget.
        """
        steps = [self._rate(*each) for each in zip(prompts, responses, strict=True)]
        return asyncio.run(self._answered(together(steps)))

    def _rate(self, prompt: tuple[Message, ...], response: str) -> Step[float]:
        asking = self.asking
        weights = criterion_weights(asking)
        criteria = [one for one in asking.template.criteria if weights[one.name] > 0]
        shown = response_text(asking.template.parts, prompt, response)
        forms = yield from together([ask_rating(asking, shown, one) for one in criteria])
        total = 0.0
        for criterion, form in zip(criteria, forms, strict=True):
            if form.value is None:
                return float("nan")
            total += weights[criterion.name] * (form.value - 1) / (asking.spec.scale - 1)
        return total / sum(weights[one.name] for one in criteria)

    async def _answered(self, step: Step[list[float]]) -> list[float]:
        if self._engine is None:
            self._engine = self._opened()
        wanted = next(step)
        while True:
            replies = await self._ask(self._engine, wanted)
            try:
                wanted = step.send(replies)
            except StopIteration as end:
                ratings: list[float] = end.value
                return ratings

    async def _ask(self, engine: Engine, wanted: Sequence[Request]) -> tuple[Reply, ...]:
        """One round of requests and their replies, in order."""
        aside = [self._put_aside(request) for request in wanted]

        async def source() -> AsyncIterator[tuple[int, Request]]:
            for item in enumerate(wanted):
                yield item

        found: dict[int, Reply] = {}
        async with aclosing(engine.ask(source())) as replies:
            async for place, reply in replies:
                self.budget.settle(aside[place], wanted[place], reply)
                found[place] = reply
        return tuple(found[place] for place in range(len(wanted)))

    def _put_aside(self, request: Request) -> float:
        most_usd = self.budget.most_usd(request, self._price)
        bound = self.budget.blocked(most_usd)
        if bound is not None:
            raise ServiceFailed(
                f'judge "{self.asking.spec.name}": {bound} of [judging] is used up after '
                f"{self.budget.n_requests:,} requests; raise it and give the same command again"
            )
        self.budget.ask(most_usd)
        return most_usd
