"""A round and its pages without a browser: a page keeps what a browser keeps, time is a number."""

import itertools
from typing import Any

from sqlalchemy import Engine, update

from workbench.audit.queue import Desk, Reply, SyncRequest, mint_token, sync
from workbench.db.models import Annotator, Item, Round, Slot
from workbench.db.session import reading, writing

MINUTE = 60.0


class World:
    """A round of `n_items` items, every `overlap`-th with a second slot, and a clock."""

    def __init__(self, engine: Engine, n_items: int = 60, overlap: int = 4, seed: int = 3) -> None:
        self.engine, self.desk, self.now = engine, Desk(), 1_000.0
        self.ids = itertools.count()
        with writing(engine) as session:
            found = Round(
                name="round-1",
                created_at=0.0,
                closed_at=None,
                design={"seed": seed, "lease_minutes": 10},
                design_hash="",
            )
            session.add(found)
            session.flush()
            self.round_id = found.id
            items = [
                Item(
                    round_id=found.id,
                    stratum="main",
                    position=k,
                    rank=k + 0.5,
                    pair_id=f"secret-pair-{k}",
                    inclusion_prob=1.0,
                    ai_label="A",
                    p_a=0.9,
                    slices={},
                    prompt_json=f'"prompt {k}"',
                    response_a=f"A{k}",
                    response_b=f"B{k}",
                )
                for k in range(n_items)
            ]
            session.add_all(items)
            session.flush()
            self.item_ids = [item.id for item in items]
            for k, item in enumerate(items):
                for number in range(2 if k % overlap == overlap - 1 else 1):
                    session.add(Slot(round_id=found.id, item_id=item.id, number=number))

    def person(self, name: str) -> int:
        with writing(self.engine) as session:
            annotator = Annotator(
                name=name, created_at=self.now, link_hash=None, role="annotator", revoked_at=None
            )
            session.add(annotator)
            session.flush()
            return annotator.id

    def open_page(self, annotator_id: int) -> "Page":
        with writing(self.engine) as session:
            token = mint_token(session, self.round_id, annotator_id, self.now)
        return Page(self, annotator_id, token)

    def page(self, name: str) -> "Page":
        page = self.open_page(self.person(name))
        page.sync()
        return page

    def all(self, statement: Any) -> list[Any]:
        with reading(self.engine) as session:
            return list(session.scalars(statement))

    def item_id(self, position: int) -> int:
        return self.item_ids[position]

    def close(self) -> None:
        with writing(self.engine) as session:
            session.execute(update(Round).values(closed_at=self.now))


class Page:
    """One browser tab: its queue, what it did and was not yet told to be stored."""

    def __init__(self, world: World, annotator_id: int, token: str) -> None:
        self.world, self.annotator_id, self.token = world, annotator_id, token
        self.queue: list[str] = []
        self.text: dict[str, tuple[str, str, str]] = {}
        self.outbox: list[dict[str, Any]] = []
        self.acks: dict[str, str] = {}
        self.last: Reply

    def sync(self, want: int = 12, active: bool = True, history: bool = False) -> Reply:
        request = SyncRequest.model_validate(
            {
                "token": self.token,
                "ops": self.outbox,
                "want": want,
                "have": self.queue,
                "active": active,
                "history": history,
            }
        )
        with writing(self.world.engine) as session:
            reply = sync(session, request, self.world.desk, self.world.now)
        self.last = reply
        self.acks |= dict(reply.acks)
        self.outbox = [op for op in self.outbox if op.get("id") not in dict(reply.acks)]
        self.queue = [lease for lease in self.queue if lease not in reply.drop]
        for item in reply.items:
            self.queue.append(item.lease_id)
            self.text[item.lease_id] = (item.left, item.response_a, item.response_b)
        return reply

    def do(self, kind: str, **fields: Any) -> str:
        number = next(self.world.ids)
        op_id = f"op-{number:08d}"
        self.outbox.append({"kind": kind, "id": op_id, "seq": number, **fields})
        return op_id

    def vote(self, lease: str | None = None, label: str = "left", **fields: Any) -> str:
        lease = lease or self.queue[0]
        if lease in self.queue:
            self.queue.remove(lease)
        return self.do("vote", lease=lease, label=label, seconds=20.0, **fields)

    def skip(self, lease: str | None = None) -> str:
        lease = lease or self.queue[0]
        self.queue.remove(lease)
        return self.do("skip", lease=lease, reason="too long")

    def undo(self, target: str) -> str:
        return self.do("undo", target=target)

    def item(self, lease: str) -> int:
        return int(self.text[lease][1][1:])

    def items(self) -> list[int]:
        return [self.item(lease) for lease in self.queue]
