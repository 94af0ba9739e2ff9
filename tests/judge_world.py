"""A project with pairs and one judge at a real server: what the tests of judging share.

The modes here are small ones of their own, so that what is tested is the running, not the asking.
"""

import asyncio
import json
import random
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protocol_server import ServerHandle

from pipelines.config import RunConfig
from pipelines.importing import import_file
from pipelines.judge.runner import JudgeFolder, JudgeRun, Question, run_judge
from pipelines.judge.spec import JudgeSpec
from pipelines.models.completions import Price
from pipelines.models.endpoint import Endpoint, EndpointEngine
from pipelines.models.engine import Reply, Request
from pipelines.models.retry import Backoff
from pipelines.records import Judgment, Label, Message, Order, PreferencePair
from pipelines.stages.budget import Budget, Limits
from pipelines.stages.lock import project_lock
from pipelines.store import PairStore

Steps = Generator[tuple[Request, ...], tuple[Reply, ...], Judgment]


def ask_plainly(pair: PreferencePair, order: Order | None) -> Steps:
    """A mode of one question: the winner that the server names."""
    (reply,) = yield (_question(f"{pair.id} {order}: {pair.response_a} or {pair.response_b}?"),)
    return _judgment(order, reply)


def ask_in_rounds(pair: PreferencePair, order: Order | None) -> Steps:
    """A mode of several rounds: two thoughts side by side, then the question on top of them."""
    first, second = yield (_question(f"{pair.id} {order} one"), _question(f"{pair.id} {order} two"))
    for reply in (first, second):
        if reply.failure is not None:
            return Judgment(judge="j", order=order, failure=reply.failure)
    (reply,) = yield (_question(f"{pair.id} {order} {first.text} {second.text}"),)
    return _judgment(order, reply)


def _question(text: str) -> Request:
    return Request(messages=(Message(role="user", content=text),), max_tokens=64)


def _judgment(order: Order | None, reply: Reply) -> Judgment:
    if reply.failure is not None:
        return Judgment(judge="j", order=order, failure=reply.failure)
    first = "Winner: A" in (reply.text or "")
    label: Label = "A" if first == (order == "ab") else "B"
    return Judgment(judge="j", order=order, label=label, raw=reply.text)


@dataclass
class World:
    """A project folder with pairs, a judge and a server."""

    folder: Path
    store: PairStore
    server: ServerHandle
    ask: Callable[[PreferencePair, Order | None], Steps] = ask_plainly
    template: str = "t1"
    concurrency: int = 8
    retries: int = 2
    price: Price | None = None

    def question(self) -> Question:
        spec = JudgeSpec(name="j", model="m", base_url=self.server.url)
        return Question(spec, self.template, spec.orders, self.ask, self.price)

    def engine(self) -> EndpointEngine:
        endpoint = Endpoint(
            self.server.url,
            "m",
            concurrency=self.concurrency,
            retries=self.retries,
            backoff=Backoff(first_s=0.01, longest_s=0.05),
            price=self.price,
        )
        return EndpointEngine(endpoint, random.Random(1))

    def judge(self, limits: Limits | None = None, **more: Any) -> JudgeRun:
        budget = Budget(limits or Limits())
        with project_lock(self.folder, "judge"):
            return asyncio.run(
                run_judge(self.folder, self.store, self.question(), self.engine, budget, **more)
            )

    @property
    def log(self) -> Path:
        return JudgeFolder(self.folder, "j").log

    def verdicts(self) -> dict[tuple[str | None, str | None], tuple[str | None, str | None]]:
        """What the store holds: label and failure by pair and order."""
        found = {}
        for pair in self.store.iter_pairs():
            for judgment in pair.ai:
                assert (pair.id, judgment.order) not in found
                found[pair.id, judgment.order] = (judgment.label, judgment.failure)
        return found


def import_pairs(folder: Path, n: int, start: int = 0) -> PairStore:
    path = folder / f"{start}.jsonl"
    pairs = [
        {"id": f"p{k}", "prompt": f"q{k}", "response_a": f"a{k}", "response_b": f"b{k}"}
        for k in range(start, start + n)
    ]
    path.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    store = PairStore(folder)
    import_file(store, path, RunConfig())
    return store
