"""Simulated people at many pages at once: coming, leaving, offline, two tabs, skips, undos.

Whatever they do, no slot has two counting votes, nobody labels a pair twice, no vote is lost.
"""

import random
from collections import Counter, defaultdict

import pytest
from queue_world import MINUTE, Page, World
from sqlalchemy import Engine, select

from workbench.db.models import Lease, Slot, Vote
from workbench.db.session import reading


class Crowd:
    """People who act at random; `calm` ones never leave, so that no vote can come late."""

    def __init__(self, world: World, seed: int, n_people: int, calm: bool) -> None:
        self.world, self.rng, self.calm = world, random.Random(seed), calm
        self.people = [world.person(f"person {k}") for k in range(n_people)]
        self.pages: list[Page] = []
        self.offline: set[int] = set()  # indices of pages
        self.pressed: dict[str, tuple[int, int]] = {}  # vote id -> person, item
        self.undone: set[str] = set()
        self.skipped: dict[str, tuple[int, int]] = {}
        self.shown: Counter[tuple[int, int]] = Counter()

    def step(self) -> None:
        rng = self.rng
        self.world.now += rng.expovariate(1 / 5.0)
        if not self.pages or rng.random() < 0.02:
            self.pages.append(self.world.open_page(rng.choice(self.people)))
        k = rng.randrange(len(self.pages))
        page = self.pages[k]
        dice = rng.random()
        if dice < 0.70 and page.queue:
            lease = page.queue[0]
            self.shown[page.annotator_id, page.item(lease)] += 1
            op_id = page.vote(lease, rng.choice(["left", "right", "tie"]))
            self.pressed[op_id] = (page.annotator_id, page.item(lease))
        elif dice < 0.75 and page.queue:
            item = page.item(page.queue[0])
            self.skipped[page.skip()] = (page.annotator_id, item)
        elif dice < 0.82:
            mine = [
                op_id
                for op_id, (who, _) in [*self.pressed.items(), *self.skipped.items()]
                if who == page.annotator_id and op_id not in self.undone
            ]
            if mine:
                target = rng.choice(mine[-5:])
                self.undone.add(target)
                page.undo(target)
                self.shown[self.pressed.get(target) or self.skipped[target]] -= 1
        elif dice < 0.84 and not self.calm:
            self.offline ^= {k}
        elif dice < 0.85 and not self.calm:
            self.world.now += 4 * MINUTE
        elif dice < 0.86:
            page.sync(want=0)  # closed; its outbox stays in the browser's storage
            if self.pages.pop(k).outbox:
                self.pages.append(page)
            self.offline = set()
        if k < len(self.pages) and k not in self.offline:
            again = list(page.outbox)
            page.sync()
            if rng.random() < 0.1:  # the answer got lost: everything is sent once more
                page.outbox = again
                page.sync()

    def finish(self) -> None:
        """Everybody sends what was kept; then two who never skip finish the round."""
        for page in self.pages:
            page.sync()
        finishers = [self.world.page(name) for name in ("first finisher", "second finisher")]
        self.world.now += 11 * MINUTE  # the crowd goes home
        idle = 0
        while idle < 3:
            idle += 1
            for page in finishers:
                page.sync()
                if page.queue:
                    idle = 0
                    lease = page.queue[0]
                    self.pressed[page.vote(lease)] = (page.annotator_id, page.item(lease))
                    self.shown[page.annotator_id, page.item(lease)] += 1
                    page.sync()


@pytest.mark.parametrize("calm", [True, False])
def test_whatever_people_do_every_slot_gets_one_vote_and_none_is_lost(
    engine: Engine, calm: bool
) -> None:
    world = World(engine, n_items=70, overlap=3, seed=1)
    crowd = Crowd(world, seed=int(calm), n_people=4, calm=calm)
    for step in range(200):
        crowd.step()
        if step % 40 == 0:
            check_database(world)
    check_database(world)
    crowd.finish()
    check_database(world)

    with reading(engine) as session:
        votes = {vote.id: vote for vote in session.scalars(select(Vote))}
        slots = {slot.id: slot for slot in session.scalars(select(Slot))}
    # Every vote that was pressed is stored, under its person and pair, and live unless undone.
    assert set(votes) == set(crowd.pressed)
    duplicates = 0
    for op_id, (who, item) in crowd.pressed.items():
        vote = votes[op_id]
        assert (vote.annotator_id, vote.item_id) == (who, world.item_id(item))
        if op_id in crowd.undone:
            assert vote.undone_at is not None
        else:
            duplicates += vote.undone_at is not None
    live = [vote for vote in votes.values() if vote.undone_at is None]
    surplus = [vote for vote in live if not vote.counts]
    assert {vote.slot_id for vote in live if vote.counts} == set(slots)  # the round is complete
    if calm:
        assert (surplus, duplicates) == ([], 0)
        assert len(live) == len(slots)
    assert max(crowd.shown.values()) <= 1 + duplicates


def check_database(world: World) -> None:
    """What must hold after every step."""
    with reading(world.engine) as session:
        live = session.scalars(select(Vote).where(Vote.undone_at.is_(None))).all()
        leases = session.scalars(select(Lease).where(Lease.ended_at.is_(None))).all()
        slots = {slot.id: slot for slot in session.scalars(select(Slot))}
    counting = Counter(vote.slot_id for vote in live if vote.counts)
    assert max(counting.values(), default=0) <= 1
    per_person = Counter((vote.annotator_id, vote.item_id) for vote in live)
    assert max(per_person.values(), default=0) <= 1
    people = defaultdict(list)
    for vote in live:
        people[vote.item_id].append(vote.annotator_id)
    assert all(len(set(who)) == len(who) for who in people.values())
    # An open lease is on an open slot, one per slot, and never on a pair its holder has labelled.
    assert max(Counter(lease.slot_id for lease in leases).values(), default=0) <= 1
    for lease in leases:
        assert counting[lease.slot_id] == 0
        assert (lease.annotator_id, slots[lease.slot_id].item_id) not in per_person
    # Nobody holds both slots of a pair.
    held = Counter((lease.annotator_id, slots[lease.slot_id].item_id) for lease in leases)
    assert max(held.values(), default=0) <= 1
