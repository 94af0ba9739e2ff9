"""The rule of dealing: by hand, as properties, and the fast board against the slow rule."""

import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from queue_world import World
from sqlalchemy import select

from workbench.audit.board import Board
from workbench.audit.dealing import ItemState, claims, left_response, prefetch_size, score
from workbench.audit.leases import item_states
from workbench.db.migrate import upgrade
from workbench.db.models import Item, Lease, Slot
from workbench.db.session import open_engine, reading, writing

PEOPLE = st.sets(st.integers(1, 9), max_size=6)
SLOTS = {0: 10, 1: 11}


@st.composite
def states(draw: st.DrawFn) -> ItemState:
    people = list(range(1, 10))
    numbers = draw(st.sets(st.integers(0, 1), max_size=2))
    chosen = draw(st.permutations(people))
    filled = {number: chosen.pop() for number in sorted(numbers)}
    leased = {
        number: chosen.pop() for number in (0, 1) if number not in filled and draw(st.booleans())
    }
    skipped = set(chosen[: draw(st.integers(0, 3))])
    return ItemState(SLOTS, filled, leased, set(filled.values()), skipped)


def test_score_by_hand() -> None:
    # printf '%s' '7|10|3' | sha256sum  ->  91e1b55539f1200e..., first 8 bytes, last bit set
    assert score(7, 10, 3) == int("91e1b55539f1200e", 16) | 1


def test_the_greatest_score_takes_the_slot_and_the_overlap_goes_to_the_next() -> None:
    order = sorted([1, 2, 3], key=lambda who: score(0, SLOTS[0], who))
    first = claims(ItemState(SLOTS), {1, 2, 3}, 0)
    assert first[0] == order[-1]
    assert first[1] != first[0]
    skipped = claims(ItemState(SLOTS, skipped={order[-1]}), {1, 2, 3}, 0)
    assert skipped[0] == order[-2]


@given(states(), PEOPLE, st.integers())
def test_nobody_gets_what_they_answered_skipped_or_share(
    state: ItemState, present: set[int], seed: int
) -> None:
    found = claims(state, present, seed)
    assert set(found).isdisjoint(state.filled)
    assert len(set(found.values())) == len(found)
    for number, who in found.items():
        if state.leased.get(number) != who:
            assert who in present
            assert who not in state.voted
            assert who not in state.skipped


@given(states(), PEOPLE, st.integers(1, 9), st.integers())
def test_somebody_new_only_takes_and_never_shuffles_first_slots(
    state: ItemState, present: set[int], newcomer: int, seed: int
) -> None:
    before = claims(state, present - {newcomer}, seed).get(0)
    after = claims(state, present | {newcomer}, seed).get(0)
    assert after in (before, newcomer)


def test_each_of_five_people_gets_a_fifth() -> None:
    counts = Counter(claims(ItemState({0: slot}), range(1, 6), 11)[0] for slot in range(5_000))
    # sd of one count: sqrt(5000 * .2 * .8) = 28
    assert all(abs(count - 1_000) < 4 * 28 for count in counts.values())


def test_sides_are_fair_and_do_not_follow_each_other() -> None:
    sides = [left_response(5, item, who) for item in range(2_000) for who in (1, 2)]
    assert abs(sides.count("A") - 2_000) < 4 * 32  # sd: sqrt(4000)/2
    same = sum(a == b for a, b in zip(sides[::2], sides[1::2], strict=True))
    assert abs(same - 1_000) < 4 * 23


@pytest.mark.parametrize(
    ("seconds", "size"),
    [([], 12), ([5.0, 5.0], 12), ([20.0] * 5, 6), ([5.0] * 8, 24), ([0.0] * 8, 48)],
)
def test_prefetch_is_what_two_minutes_need(seconds: list[float], size: int) -> None:
    assert prefetch_size(seconds) == size


@pytest.mark.parametrize("seed", range(4))
def test_the_board_proposes_exactly_what_the_rule_says(tmp_path: Path, seed: int) -> None:
    """After some random work: for each person, all proposals against the rule, slot by slot."""
    engine = open_engine(tmp_path / "workbench.db")
    upgrade(engine)
    world = World(engine, n_items=700, overlap=3, seed=seed)
    rng = random.Random(seed)
    pages = [world.page(name) for name in "abcde"]
    done: list[tuple[int, str]] = []
    for _ in range(60):
        k = rng.randrange(len(pages))
        page = pages[k]
        for _ in range(rng.randrange(3)):
            if page.queue:
                lease = rng.choice(page.queue)
                done.append((k, page.skip(lease) if rng.random() < 0.2 else page.vote(lease)))
        if done and rng.random() < 0.2:
            owner, target = done.pop()
            pages[owner].undo(target)
        page.sync()
    for page in pages:
        page.sync()
    present = {page.annotator_id for page in pages[:4]}  # one has gone
    with reading(engine) as session:
        leased = {
            slot_id: who
            for slot_id, who in session.execute(
                select(Lease.slot_id, Lease.annotator_id).where(Lease.ended_at.is_(None))
            )
            if who in present
        }
        items = list(session.scalars(select(Item.id).order_by(Item.rank)))
        states, _ = item_states(session, items, present)
        expected: dict[int, list[int]] = {who: [] for who in present}
        for item_id in items:
            for number, who in sorted(claims(states[item_id], present, seed).items()):
                if number not in states[item_id].leased:
                    expected[who].append(states[item_id].slots[number])
        fresh = Board(session, world.round_id, seed, 0.0)
        kept = world.desk.board(session, world.round_id, seed, world.now)
        for who in present:
            assert list(fresh.proposals(who, present, leased)) == expected[who]
            assert list(kept.proposals(who, present, leased)) == expected[who]
    assert sum(map(len, expected.values())) > 500
    engine.dispose()


def test_a_board_of_an_empty_round_proposes_nothing(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "workbench.db")
    upgrade(engine)
    world = World(engine, n_items=0)
    ana = world.page("ana")
    assert (ana.queue, ana.last.asked, ana.last.everyone) == ([], 0, 0)
    with writing(engine) as session:
        assert session.scalars(select(Slot)).all() == []
    engine.dispose()
