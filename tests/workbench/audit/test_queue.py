"""The queue seen from its pages."""

from pathlib import Path

import pytest
from queue_world import MINUTE, World
from sqlalchemy import Engine, func, select, update

from pipelines.errors import BadInput
from workbench.audit.protocol import read_ops
from workbench.audit.queue import TokenRefused, mint_token, open_rounds, progress
from workbench.db.migrate import upgrade
from workbench.db.models import Amendment, Annotator, Item, Lease, Skip, Slot, Vote
from workbench.db.session import open_engine, reading, writing


@pytest.fixture
def world(engine: Engine) -> World:
    return World(engine)


def test_one_person_gets_the_pairs_in_draw_order(world: World) -> None:
    ana = world.page("ana")
    assert ana.items() == list(range(12))
    assert ana.last.asked == 75
    assert (ana.last.mine, ana.last.everyone, ana.last.closed) == (0, 0, False)


def test_a_vote_is_unswapped_and_kept_as_it_was_given(world: World) -> None:
    ana = world.page("ana")
    pressed = {}
    for label in ("left", "right", "tie", "both_bad"):
        lease = ana.queue[0]
        pressed[ana.vote(label=label, comment="a\x00b\ud800", client_at=5000.0)] = (lease, label)
    ana.sync()
    assert set(ana.acks.values()) == {"stored"}
    votes = {vote.id: vote for vote in world.all(select(Vote))}
    for op_id, (lease, label) in pressed.items():
        vote, left = votes[op_id], ana.text[lease][0]
        expected = {"left": left, "right": "AB".replace(left, "")}.get(label, "tie")
        assert (vote.label, vote.left, vote.both_bad) == (expected, left, label == "both_bad")
        assert (vote.seconds, vote.client_at, vote.origin) == (20.0, 5.0, "workbench")
        assert vote.counts
        assert vote.comment == "a\ufffdb\ufffd"
    assert ana.last.mine == ana.last.everyone == 4


def test_left_and_right_are_a_fair_coin_for_each_person_and_pair(world: World) -> None:
    ana = world.page("ana")
    for _ in range(60):
        ana.vote()
        ana.sync()
    lefts = world.all(select(Vote.left))
    assert 18 < lefts.count("A") < 42
    assert len(lefts) == 60


def test_a_vote_that_arrives_twice_is_stored_once(world: World) -> None:
    ana = world.page("ana")
    op_id = ana.vote()
    again = ana.outbox[0]
    ana.sync()
    ana.outbox = [again, again]
    assert ana.sync().acks == [(op_id, "again"), (op_id, "again")]
    assert len(world.all(select(Vote))) == 1


def test_an_operation_with_an_id_of_somebody_else_is_refused(world: World) -> None:
    ana, ben = world.page("ana"), world.page("ben")
    op_id = ana.vote()
    lease = ana.queue[0]
    ana.sync()
    ben.outbox = [
        {"kind": "vote", "id": op_id, "lease": ben.queue[0], "label": "left"},
        {"kind": "vote", "id": "ben-forged-1", "lease": lease, "label": "left"},
        {"kind": "undo", "id": "ben-forged-2", "target": op_id},
        {"kind": "amend", "id": "ben-forged-3", "target": op_id, "comment": "x"},
    ]
    assert [status for _, status in ben.sync().acks] == [
        "rejected:id",
        "rejected:lease",
        "rejected:target",
        "rejected:target",
    ]


def test_malformed_operations_are_refused_and_the_others_stored(world: World) -> None:
    ana = world.page("ana")
    good = ana.vote()
    ana.outbox += [
        {"kind": "vote", "id": "bad-label-1", "lease": "x", "label": "up"},
        {"kind": "party", "id": "bad-kind-01"},
        {"kind": "skip", "id": "bad-lease-1"},
        {"id": "no-kind-at-all"},
    ]
    assert read_ops(["not even an object"]) == ([], [])
    assert dict(ana.sync().acks) == {
        good: "stored",
        "bad-label-1": "rejected:label",
        "bad-kind-01": "rejected:kind",
        "bad-lease-1": "rejected:lease",
        "no-kind-at-all": "rejected:kind",
    }


@pytest.mark.parametrize(
    ("given", "stored"), [(-3.0, 0.0), (1e9, 3600.0), (float("nan"), None), (12.5, 12.5)]
)
def test_seconds_are_kept_within_an_hour(world: World, given: float, stored: float | None) -> None:
    ana = world.page("ana")
    ana.vote()
    ana.outbox[0]["seconds"] = given
    ana.sync()
    assert world.all(select(Vote.seconds)) == [stored]


def test_two_people_share_the_open_slots_and_overlap_pairs_go_to_both(world: World) -> None:
    ana, ben = world.page("ana"), world.page("ben")
    for _ in range(80):
        for page in (ana, ben):
            if page.queue:
                page.vote()
            page.sync()
    votes = world.all(select(Vote).where(Vote.undone_at.is_(None)))
    assert len(votes) == 75  # every slot once, no surplus
    assert all(vote.counts for vote in votes)
    per_person = [
        sum(vote.annotator_id == page.annotator_id for vote in votes) for page in (ana, ben)
    ]
    assert min(per_person) >= 25
    by_item: dict[int, set[int]] = {}
    for vote in votes:
        by_item.setdefault(vote.item_id, set()).add(vote.annotator_id)
    assert sorted(len(people) for people in by_item.values()).count(2) == 15


def test_nobody_gets_more_by_being_faster(engine: Engine) -> None:
    world = World(engine, n_items=200, overlap=1000)
    ana, ben = world.page("ana"), world.page("ben")
    for _ in range(200):
        if ana.queue:
            ana.vote()
        ana.sync()
        world.now += 1
        ben.sync()  # there, reading, never voting
    assert 60 < ana.last.mine < 140
    assert not ana.queue


def test_somebody_who_joins_takes_a_random_share_of_what_is_open(engine: Engine) -> None:
    world = World(engine, n_items=200, overlap=1000)
    ana = world.page("ana")
    for _ in range(30):
        ana.vote()
        ana.sync()
    ben = world.page("ben")
    for _ in range(130):
        for page in (ana, ben):
            if page.queue:
                page.vote()
            page.sync()
    # Of the 170 open ones 12 were in ana's queue; of the others about half are ben's (sd 6).
    assert 55 < ben.last.mine < 103


def test_what_an_absent_person_left_open_passes_on_and_late_votes_are_kept(
    engine: Engine,
) -> None:
    world = World(engine, overlap=1_000)
    ana, ben = world.page("ana"), world.page("ben")
    left_open = ana.items()
    late = [ana.vote() for _ in range(3)]  # pressed, but the network is down
    world.now += 11 * MINUTE
    taken: set[int] = set()
    while ben.sync().items or ben.queue:
        taken.update(ben.items())
        ben.vote(ben.queue[0])
    assert set(left_open) <= taken
    reply = ana.sync()
    assert [ana.acks[op_id] for op_id in late] == ["surplus"] * 3
    assert set(ana.queue).isdisjoint(reply.drop)
    votes = world.all(select(Vote).where(Vote.id.in_(late)))
    assert [vote.counts for vote in votes] == [False] * 3
    counting = world.all(select(func.count()).where(Vote.counts.is_(True)))
    assert counting == [60]


def test_a_late_vote_counts_while_nobody_else_has_answered(
    engine: Engine,
) -> None:
    world = World(engine, overlap=1_000)
    ana, ben = world.page("ana"), world.page("ben")
    lease = ana.queue[0]
    item = ana.item(lease)
    world.now += 11 * MINUTE
    ben.sync(want=12)
    while item not in ben.items():
        ben.vote()
        ben.sync()
    op_id = ana.vote(lease)
    ana.sync()
    assert ana.acks[op_id] == "stored"
    before = [lease for lease in ben.queue if ben.item(lease) == item]
    assert before[0] in ben.sync().drop


def test_an_absent_person_who_returns_keeps_what_nobody_took(world: World) -> None:
    ana = world.page("ana")
    before = list(ana.queue)
    world.now += 11 * MINUTE
    reply = ana.sync(active=False)
    assert (reply.drop, reply.items) == ([], [])
    assert ana.queue == before


def test_an_open_page_that_nobody_looks_at_gets_nothing_new(world: World) -> None:
    ana = world.page("ana")
    for _ in range(12):
        ana.vote()
    world.now += 11 * MINUTE
    ana.outbox.clear()
    ana.queue.clear()
    with writing(world.engine) as session:
        session.execute(update(Lease).values(ended_at=world.now))
    assert ana.sync(active=False).items == []
    assert len(ana.sync(active=True).items) == 12


def test_a_skip_goes_to_somebody_else_and_never_comes_back(world: World) -> None:
    ana, ben = world.page("ana"), world.page("ben")
    item = ana.item(ana.queue[0])
    ana.skip()
    ana.sync()
    while item not in ben.items():
        ben.vote()
        ben.sync()
        assert ben.queue
    for _ in range(60):
        if ana.queue:
            ana.vote()
        assert item not in [ana.item(shown.lease_id) for shown in ana.sync().items]


def test_what_everybody_skipped_waits_for_somebody_new(world: World) -> None:
    ana = world.page("ana")
    ana.skip()
    ana.sync()
    assert 0 not in ana.items()
    ben = world.page("ben")
    assert ben.items()[0] == 0


def test_undo_brings_the_pair_back_and_a_second_vote_replaces_the_first(world: World) -> None:
    ana = world.page("ana")
    lease = ana.queue[0]
    first = ana.vote(label="left")
    ana.sync()
    ana.undo(first)
    ana.queue.insert(0, lease)
    reply = ana.sync()
    assert (reply.mine, reply.everyone, reply.drop) == (0, 0, [])
    second = ana.vote(lease, label="right")
    reply = ana.sync()
    assert ana.acks[second] == "stored"
    assert (reply.mine, reply.everyone) == (1, 1)
    votes = {vote.id: vote for vote in world.all(select(Vote))}
    assert votes[first].undone_at is not None
    assert votes[second].undone_at is None


def test_an_undo_that_overtakes_its_vote_still_takes_it_back(world: World) -> None:
    ana = world.page("ana")
    first = ana.vote()
    vote = ana.outbox.pop()
    ana.undo(first)
    ana.sync()
    ana.outbox = [vote]
    ana.sync()
    assert ana.acks[first] == "stored"
    assert world.all(select(Vote.undone_at)) != [None]
    assert (ana.last.mine, ana.last.everyone) == (0, 0)


def test_undo_of_a_skip_returns_the_pair_unless_it_has_gone_to_somebody(world: World) -> None:
    ana = world.page("ana")
    lease = ana.queue[0]
    skipped = ana.skip()
    ana.sync()
    ana.undo(skipped)
    ana.queue.insert(0, lease)
    assert ana.sync().drop == []
    skipped = ana.skip(lease)
    ana.sync()
    ben = world.page("ben")
    assert 0 in ben.items()
    ana.undo(skipped)
    ana.queue.insert(0, lease)
    assert ana.sync().drop == [lease]
    assert len(world.all(select(Skip))) == 2


def test_history_survives_a_reload_and_can_be_undone(world: World) -> None:
    ana = world.page("ana")
    ops = []
    for k in range(25):
        world.now += 1
        ops.append(ana.skip() if k % 5 == 0 else ana.vote(label=["left", "both_bad"][k % 2]))
        ana.outbox[-1]["client_at"] = world.now * 1000
        ana.sync()
    undone = ops.pop()
    ana.undo(undone)
    ana.sync()
    ana.sync(want=0)  # the page says good-bye
    again = world.open_page(ana.annotator_id)
    past = again.sync(history=True).history
    assert past is not None
    assert [entry.op_id for entry in past] == ops[-20:]
    assert [entry.kind for entry in past].count("skip") == 4
    assert {entry.label for entry in past} == {"left", "both_bad", None}
    assert all(entry.item.response_a.startswith("A") for entry in past)
    target = past[3]
    again.undo(target.op_id)
    reply = again.sync()
    assert target.item.lease_id in [item.lease_id for item in reply.items]
    assert again.sync().history is None


def test_a_new_page_takes_over_from_one_that_said_good_bye(world: World) -> None:
    ana = world.page("ana")
    ana.sync(want=0)
    again = world.open_page(ana.annotator_id)
    again.sync()
    assert again.queue == ana.queue


def test_a_new_page_takes_over_from_one_that_was_killed_after_a_while(world: World) -> None:
    ana = world.page("ana")
    again = world.open_page(ana.annotator_id)
    again.sync()
    assert again.items()[0] == 12  # the first page may still be open
    world.now += 2 * MINUTE
    again.sync()
    assert set(ana.queue) <= set(again.queue)


def test_two_tabs_of_one_person_never_hold_the_same_pair(world: World) -> None:
    first = world.page("ana")
    second = world.open_page(first.annotator_id)
    second.sync()
    seen: list[int] = []
    for _ in range(30):
        for tab in (first, second):
            if tab.queue:
                seen.append(tab.item(tab.queue[0]))
                tab.vote()
            tab.sync()
            assert set(first.queue).isdisjoint(second.queue)
    assert len(seen) == len(set(seen)) == 60
    assert set(first.acks.values()) | set(second.acks.values()) == {"stored"}


def test_a_second_verdict_on_the_same_pair_is_kept_aside(world: World) -> None:
    ana = world.page("ana")
    lease = ana.queue[0]
    first, second = ana.vote(lease, "left"), ana.vote(lease, "right")
    ana.sync()
    assert (ana.acks[first], ana.acks[second]) == ("stored", "duplicate")
    votes = {vote.id: vote for vote in world.all(select(Vote))}
    assert votes[first].undone_at is None
    assert votes[second].undone_at is not None
    assert ana.last.mine == 1


def test_a_note_after_the_vote_stands_and_what_was_said_before_is_kept(world: World) -> None:
    ana = world.page("ana")
    voted = ana.vote(comment="first", details={"tags": {"left": ["made up"]}})
    later = ana.do("amend", target=voted, comment="third")
    ana.sync()
    ana.outbox.append(
        {"kind": "amend", "id": "amend-early", "target": voted, "comment": "second", "seq": 0.5}
    )
    ana.sync()
    assert ana.acks[later] == ana.acks["amend-early"] == "stored"
    assert world.all(select(Vote.comment)) == ["third"]
    versions = world.all(select(Amendment).order_by(Amendment.seq))
    assert [version.comment for version in versions] == ["first", "second", "third"]
    assert versions[0].details["tags"] == {"left": ["made up"]}


def test_a_note_that_overtakes_its_vote_is_applied_when_the_vote_comes(world: World) -> None:
    ana = world.page("ana")
    voted = ana.vote(comment="first")
    vote = ana.outbox.pop()
    ana.do("amend", target=voted, comment="second")
    ana.sync()
    ana.outbox = [vote]
    ana.sync()
    assert world.all(select(Vote.comment)) == ["second"]


def test_a_closed_round_keeps_late_votes_but_does_not_count_them(world: World) -> None:
    ana = world.page("ana")
    early = ana.vote()
    ana.sync()
    world.close()
    late, skipped, undone = ana.vote(), ana.skip(), ana.undo(early)
    held = list(ana.queue)
    reply = ana.sync()
    assert reply.closed
    assert (reply.items, reply.drop) == ([], held)
    assert ana.acks[late] == "surplus"
    assert ana.acks[skipped] == ana.acks[undone] == "rejected:closed"
    assert [vote.counts for vote in world.all(select(Vote).where(Vote.id == late))] == [False]
    with reading(world.engine) as session:
        assert open_rounds(session) == []


def test_a_slot_that_loses_its_vote_takes_the_late_one_that_waits(engine: Engine) -> None:
    """Ana answers late, ben took the pair; then ben takes his vote back and leaves for good."""
    world = World(engine, overlap=1_000)
    ana, ben = world.page("ana"), world.page("ben")
    lease = ana.queue[0]
    world.now += 11 * MINUTE
    ben.sync()
    target = ben.queue[0]
    while ben.item(target) != ana.item(lease):
        ben.vote(target)
        ben.sync()
        target = ben.queue[0]
    voted = ben.vote(target)
    ben.sync()
    late = ana.vote(lease)
    ana.sync()
    assert ana.acks[late] == "surplus"
    ben.undo(voted)
    ben.sync()
    world.now += 11 * MINUTE
    while ana.sync() and ana.queue:
        ana.vote()
    (promoted,) = world.all(select(Vote).where(Vote.id == late))
    assert promoted.counts
    assert promoted.created_at == world.now  # before now it did not count


def test_a_revoked_person_is_refused_and_their_slots_pass_on(world: World) -> None:
    ana, ben = world.page("ana"), world.page("ben")
    with writing(world.engine) as session:
        session.execute(
            update(Annotator).where(Annotator.id == ana.annotator_id).values(revoked_at=world.now)
        )
    with pytest.raises(TokenRefused, match="reload"):
        ana.sync()
    seen: set[int] = set()
    while ben.sync().items or ben.queue:
        seen.update(ben.items())
        ben.vote()
    assert seen == set(range(60))
    with writing(world.engine) as session, pytest.raises(BadInput, match="taken back"):
        mint_token(session, world.round_id, ana.annotator_id)


def test_a_token_ends_after_half_a_day_and_a_forged_one_never_began(world: World) -> None:
    ana = world.page("ana")
    world.now += 13 * 60 * MINUTE
    with pytest.raises(TokenRefused):
        ana.sync()
    ana.token = "forged"
    with pytest.raises(TokenRefused):
        ana.sync()
    with writing(world.engine) as session, pytest.raises(BadInput, match="no round 99"):
        mint_token(session, 99, ana.annotator_id)


def test_the_prefetch_follows_the_pace(world: World) -> None:
    ana = world.page("ana")
    for _ in range(8):
        ana.vote()
        ana.outbox[-1]["seconds"] = 1.0
        ana.sync()
    assert ana.last.want == 48
    for _ in range(8):
        ana.vote()
        ana.outbox[-1]["seconds"] = 90.0
        ana.sync()
    assert ana.last.want == 6


def test_slots_that_an_extension_adds_are_dealt(engine: Engine) -> None:
    world = World(engine, n_items=3, overlap=1000)
    ana = world.page("ana")
    while ana.queue:
        ana.vote()
        ana.sync()
    with writing(engine) as session:
        first = session.scalars(select(Item)).first()
        assert first is not None
        values = {c.name: getattr(first, c.name) for c in Item.__table__.columns if c.name != "id"}
        item = Item(**{**values, "position": 3, "rank": 9.0, "pair_id": "new", "response_a": "A9"})
        session.add(item)
        session.flush()
        session.add(Slot(round_id=world.round_id, item_id=item.id, number=0))
    world.now += 6
    ana.sync()
    assert ana.items() == [9]


def test_what_another_program_filled_is_not_dealt(world: World) -> None:
    ana = world.page("ana")
    with writing(world.engine) as session:
        ben = Annotator(name="ben", created_at=0, link_hash=None, revoked_at=None)
        session.add(ben)
        session.flush()
        for slot in session.scalars(select(Slot).where(Slot.number == 0)).all()[12:40]:
            session.add(
                Vote(
                    id=f"imported-{slot.id}",
                    round_id=world.round_id,
                    item_id=slot.item_id,
                    slot_id=slot.id,
                    annotator_id=ben.id,
                    label="A",
                    details={},
                    origin="import",
                    created_at=0.0,
                )
            )
    seen = ana.items()
    while ana.queue:
        ana.vote()
        seen += [ana.item(item.lease_id) for item in ana.sync().items]
    assert [item for item in seen if 12 <= item < 40 and item % 4 != 3] == []
    assert set(seen) >= {0, 1, 2, 40, 58}


def test_a_reply_carries_a_bounded_amount_of_text(engine: Engine) -> None:
    world = World(engine, n_items=12)
    with writing(engine) as session:
        session.execute(update(Item).values(response_b="b" * 900_000))
    ana = world.open_page(world.person("ana"))
    assert len(ana.sync().items) == 3
    assert len(ana.sync().items) == 3
    assert len(ana.queue) == 6


def test_progress_counts_people_and_slots(world: World) -> None:
    ana, ben = world.page("ana"), world.page("ben")
    for page in (ana, ana, ben):
        page.vote()
        page.sync()
    ben.skip()
    ben.sync()
    with reading(world.engine) as session:
        found = progress(session, world.round_id)
        assert [name.name for name in open_rounds(session)] == ["round-1"]
    assert (found.answered, found.asked) == (3, 75)
    assert [(p.name, p.n_votes, p.n_skips) for p in found.people] == [("ana", 2, 0), ("ben", 1, 1)]


def test_who_gets_what_does_not_depend_on_what_is_said(engine: Engine, tmp_path: Path) -> None:
    """Same people, same times; other texts, labels and verdicts: the same assignments."""
    other = open_engine(tmp_path / "other.db")
    upgrade(other)
    assigned = []
    for number, each in enumerate((engine, other)):
        world = World(each, n_items=40)
        if number:
            with writing(each) as session:
                session.execute(update(Item).values(prompt_json='"?"', ai_label="B", p_a=0.1))
        pages = [world.page(name) for name in ("ana", "ben", "eva")]
        for _ in range(30):
            for page in pages:
                if page.queue:
                    page.vote(label=("left", "tie")[number])
                page.sync()
            world.now += 30
        with reading(each) as session:
            rows = session.execute(select(Vote.slot_id, Vote.annotator_id, Vote.left))
            assigned.append(sorted(tuple(row) for row in rows))
    assert assigned[0] == assigned[1]
    other.dispose()
