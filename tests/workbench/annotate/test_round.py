"""A round to a real Argilla server and back: blind, complete, and never a lost answer."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from argilla_rounds import JUDGE, MODELS, P_A, Desk, draw, make_project, pair_ids, skips, votes
from argilla_world import Caller, World

from pipelines.errors import BadInput
from workbench.annotate import mapping
from workbench.annotate.client import KEY_VARIABLE, URL_VARIABLE
from workbench.annotate.pull import Pulled, pull, watch
from workbench.annotate.push import push
from workbench.audit.certificate import make_certificate
from workbench.audit.extend import extend_round
from workbench.audit.rounds import close_round
from workbench.audit.verify import verify
from workbench.project import Project

NUMBERS = iter(range(1, 1000))


@pytest.fixture
def name() -> str:
    """A round's name that no other test of this server uses."""
    return f"round-{next(NUMBERS)}-{time.time_ns()}"


@pytest.fixture
def project(
    database_url: str, tmp_path: Path, argilla: World, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Project]:
    """A project that is told of the server by the environment: an existing one, to it."""
    monkeypatch.setenv(URL_VARIABLE, argilla.url)
    monkeypatch.setenv(KEY_VARIABLE, argilla.key)
    made = make_project(tmp_path / "project", database_url)
    yield made
    made.engine.dispose()


def people(world: World, n: int) -> list[Caller]:
    return [caller for _, caller in world.annotators(n)]


def count(pulled: Pulled) -> dict[str, int]:
    """The counts that are not 0."""
    return {name.removeprefix("n_"): n for name, n in pulled.counts.items() if n}


def test_what_goes_to_argilla_is_blind(project: Project, argilla: World, name: str) -> None:
    design = draw(project, name=name, criteria=("helpful",), guidelines="Read *both*.")
    pushed = push(project)
    assert [(one.name, one.wanted, one.n_new) for one in pushed.datasets] == [(name, 1, 10)]
    desk = Desk(argilla, design, [name])
    dataset = desk.owner.get(f"/datasets/{desk.datasets[0]}")
    everything = [dataset, list(desk.records.values())]
    everything += [
        desk.owner.get(f"{base}/{dataset['id']}/{part}")
        for base, part in (
            ("/datasets", "fields"),
            ("/datasets", "questions"),
            ("/me/datasets", "metadata-properties"),
        )
    ]
    text = json.dumps(everything)
    for secret in (JUDGE, *MODELS, "revealing", "secret", str(P_A)):
        assert secret not in text
    assert dataset["guidelines"] == "Read *both*."
    assert dataset["distribution"] == {"strategy": "overlap", "min_submitted": 1}
    sides = [mapping.left_of(design, pair_id) for pair_id in pair_ids(project, name)]
    assert set(sides) == {"A", "B"}
    for pair_id, left in zip(pair_ids(project, name), sides, strict=True):
        fields = desk.record(pair_id)["fields"]
        assert fields["left"].startswith("good" if left == "A" else "bad")
        assert [turn["role"] for turn in fields["prompt"]] == ["system", "user"]
    asked = everything[3]["items"]
    assert [one["name"] for one in asked] == [
        "verdict",
        "criterion_1_left",
        "criterion_1_right",
        "note",
    ]
    assert [one["text"] for one in asked[0]["settings"]["options"]] == list(mapping.LABELS.values())


def test_pushing_again_adds_only_what_an_extension_drew_or_somebody_deleted(
    project: Project, argilla: World, name: str
) -> None:
    design = draw(project, name=name)
    assert push(project, first=4).n_later == 6
    assert push(project, first=4).datasets[0].n_new == 0
    assert [(one.n_new, one.n_there) for one in push(project).datasets] == [(6, 4)]
    extend_round(project, n_more=5)
    assert [(one.n_new, one.n_there) for one in push(project).datasets] == [(5, 10)]
    desk = Desk(argilla, design, [name])
    lost = desk.record(pair_ids(project, name)[3])["id"]
    assert desk.owner.ask("DELETE", f"/records/{lost}")[0] == 200
    assert [(one.n_new, one.n_there) for one in push(project).datasets] == [(1, 14)]
    again = Desk(argilla, design, [name])
    assert set(again.records) == set(desk.records)


def test_answers_come_back_unswapped_with_marks_and_notes_once(
    project: Project, argilla: World, name: str
) -> None:
    design = draw(project, name=name, criteria=("helpful",))
    push(project)
    desk, (ana,) = Desk(argilla, design, [name]), people(argilla, 1)
    first, second, third, fourth, fifth, *_ = pair_ids(project, name)
    left = mapping.left_of(design, first)
    desk.answer(ana, first, "A", note="short and right", criterion_1_left=5)
    desk.answer(ana, second, "B")
    desk.answer(ana, third, "both_bad")
    desk.answer(ana, fourth, "A", status="draft")
    desk.answer(ana, fifth, None, status="discarded", note="I cannot read it")
    pulled = pull(project)
    assert count(pulled) == {"counted": 3, "drafts": 1, "skips": 1}
    stored = {vote.label: vote for vote in votes(project)}
    assert {label: vote.both_bad for label, vote in stored.items()} == {
        "A": False,
        "B": False,
        "tie": True,
    }
    assert (stored["A"].left, stored["A"].comment) == (left, "short and right")
    assert stored["A"].details == {"tags": {}, "criteria": {"helpful": {"left": 5}}}
    assert all(vote.counts and vote.origin == "argilla" for vote in stored.values())
    assert [one.reason for one in skips(project)] == ["I cannot read it"]
    assert count(pull(project)) == {"known": 4, "drafts": 1}
    assert len(votes(project)) == 3


def test_a_discard_without_a_word_is_a_skip_too(
    project: Project, argilla: World, name: str
) -> None:
    design = draw(project, name=name)
    push(project)
    desk, (ana,) = Desk(argilla, design, [name]), people(argilla, 1)
    desk.answer(ana, pair_ids(project, name)[0], None, status="discarded")
    assert count(pull(project)) == {"skips": 1}
    assert [one.reason for one in skips(project)] == ["discarded in Argilla"]


def test_an_edited_answer_is_a_new_version(project: Project, argilla: World, name: str) -> None:
    design = draw(project, name=name)
    push(project)
    desk, (ana,) = Desk(argilla, design, [name]), people(argilla, 1)
    pair = pair_ids(project, name)[0]
    answer = desk.answer(ana, pair, "A")
    pull(project, now=1000.0)
    desk.change(ana, answer, pair, "B", note="on second thoughts")
    assert count(pull(project, now=2000.0)) == {"edited": 1}
    old, new = votes(project)
    assert (old.label, old.undone_at) == ("A", 2000.0)
    assert (new.label, new.undone_at, new.counts) == ("B", None, True)
    assert new.slot_id == old.slot_id
    desk.change(ana, answer, pair, "B", note="only the note differs")
    assert count(pull(project)) == {"edited": 1}
    assert votes(project)[-1].comment == "only the note differs"
    desk.change(ana, answer, pair, "B", status="draft")
    assert count(pull(project, now=3000.0)) == {"taken_back": 1, "drafts": 1}
    assert votes(project)[-1].undone_at == 3000.0
    desk.change(ana, answer, pair, "B")
    assert count(pull(project, now=4000.0)) == {"edited": 1}
    standing = [vote for vote in votes(project) if vote.undone_at is None]
    assert [(vote.label, vote.counts) for vote in standing] == [("B", True)]
    assert count(pull(project)) == {"known": 1}


def test_overlap_pairs_have_a_dataset_that_two_people_answer(
    project: Project, argilla: World, name: str
) -> None:
    design = draw(project, name=name, overlap=0.5)
    pushed = push(project)
    assert [(one.name, one.wanted, one.n_new) for one in pushed.datasets] == [
        (name, 1, 5),
        (f"{name}-2-people", 2, 5),
    ]
    desk = Desk(argilla, design, [name, f"{name}-2-people"])
    ana, ben, cy = people(argilla, 3)
    twice = [p for p in pair_ids(project, name) if desk.record(p)["dataset_id"] != desk.datasets[0]]
    assert len(twice) == 5
    pair = twice[0]
    desk.answer(ana, pair, "A")
    desk.answer(ben, pair, "B")
    assert count(pull(project)) == {"counted": 1, "overlap": 1}
    # Argilla keeps an answer that came although the record was complete, and so do we.
    desk.answer(cy, pair, "tie")
    assert count(pull(project)) == {"surplus": 1, "known": 2}
    by_count = {vote.label: vote.counts for vote in votes(project)}
    assert by_count == {"A": True, "B": True, "tie": False}
    assert make_certificate(project).human_ceiling is not None


def test_a_slot_that_was_given_up_goes_to_the_answer_that_waited(
    project: Project, argilla: World, name: str
) -> None:
    design = draw(project, name=name)
    push(project)
    desk, (ana, ben) = Desk(argilla, design, [name]), people(argilla, 2)
    pair = pair_ids(project, name)[0]
    answer = desk.answer(ana, pair, "A")
    pull(project)
    desk.answer(ben, pair, "B")
    assert count(pull(project)) == {"surplus": 1, "known": 1}
    desk.change(ana, answer, pair, None, status="discarded")
    assert count(pull(project)) == {"taken_back": 1, "skips": 1, "known": 1}
    standing = [vote for vote in votes(project) if vote.undone_at is None]
    assert [(vote.label, vote.counts) for vote in standing] == [("B", True)]


def test_what_everybody_passes_on_is_read_as_unanswered(
    project: Project, argilla: World, name: str
) -> None:
    # A workspace of its own: whoever is in it is asked, so only these two are waited for. And
    # names of their own: only the push that makes an account knows its password.
    number = name.rpartition("-")[2]
    who = [f"Ana María {number}", f"李雷{number}"]
    design = draw(project, n=3, name=name)
    pushed = push(project, workspace=f"space-{name}", annotators=who)
    assert [(one.name, one.username) for one in pushed.members] == [
        (who[0], f"Ana-Maria-{number}"),
        (who[1], who[1]),
    ]
    ana, li = (argilla.log_in(one.username, one.password or "") for one in pushed.members)
    desk = Desk(argilla, design, [name])
    first, second, _ = pair_ids(project, name)
    desk.answer(ana, first, None, status="discarded")
    desk.answer(ana, second, "A")
    assert pull(project).n_read == 0  # the other may still answer
    desk.answer(li, first, None, status="discarded")
    assert pull(project).n_read == 2
    certificate = make_certificate(project)
    assert [entry.human for entry in certificate.strata[0].labels] == [None, "A"]
    assert certificate.strata[0].labels[1].annotator == f"Ana-Maria-{number}"
    again = push(project, annotators=who[:1])
    assert [one.password for one in again.members] == [None]


def test_the_certificate_reads_argilla_in_draw_order_and_verifies(
    project: Project, argilla: World, name: str
) -> None:
    design = draw(project, n=20, name=name)
    push(project)
    desk, (ana,) = Desk(argilla, design, [name]), people(argilla, 1)
    ids = pair_ids(project, name)
    for pair in [*ids[:3], *ids[4:]]:
        desk.answer(ana, pair, "A")
    assert pull(project).n_read == 3
    assert make_certificate(project).strata[0].n_waiting == 16
    desk.answer(ana, ids[3], "A")
    assert pull(project).complete
    certificate = make_certificate(project)
    assert certificate.decision == "TRUST"
    assert certificate.trusted
    assert any(
        "20 of the labels that it reads were given in Argilla" in s for s in certificate.says
    )
    assert verify(project, certificate).ok


def test_after_the_close_answers_are_kept_and_do_not_count(
    project: Project, argilla: World, name: str
) -> None:
    design = draw(project, name=name)
    push(project)
    desk, (ana,) = Desk(argilla, design, [name]), people(argilla, 1)
    first, second, *_ = pair_ids(project, name)
    answer = desk.answer(ana, first, "A")
    pull(project)
    close_round(project)
    desk.change(ana, answer, first, "B")
    desk.answer(ana, second, "A")
    assert count(pull(project, name)) == {"edited": 1, "late": 1}
    assert count(pull(project, name)) == {"known": 2}
    assert sorted((v.label, v.counts, v.undone_at is None) for v in votes(project)) == [
        ("A", False, True),
        ("A", True, True),
        ("B", False, False),
    ]
    with pytest.raises(BadInput, match="is closed"):
        push(project, name)


def test_with_assist_the_ai_is_shown_and_nothing_is_certified(
    project: Project, argilla: World, name: str
) -> None:
    design = draw(project, n=20, name=name)
    push(project, assist=True)
    desk, (ana,) = Desk(argilla, design, [name]), people(argilla, 1)
    record = desk.owner.get(f"/records/{desk.record(pair_ids(project, name)[0])['id']}/suggestions")
    assert [one["agent"] for one in record["items"]] == [JUDGE.replace("@", "-")]
    assert record["items"][0]["value"] == desk.shown(pair_ids(project, name)[0], "A")
    for pair in pair_ids(project, name):
        desk.answer(ana, pair, "A")
    assert count(pull(project)) == {"surplus": 20}
    certificate = make_certificate(project)
    assert (certificate.decision, certificate.trusted) == ("UNDECIDED", False)
    assert any("20 labels given there are kept but not read" in said for said in certificate.says)
    assert verify(project, certificate).ok
    with pytest.raises(BadInput, match="pushed with --assist before"):
        push(project)


def test_a_suggestion_that_somebody_else_added_spoils_that_answer(
    project: Project, argilla: World, name: str
) -> None:
    design = draw(project, name=name)
    push(project)
    desk, (ana,) = Desk(argilla, design, [name]), people(argilla, 1)
    first, second, *_ = pair_ids(project, name)
    questions = desk.owner.get(f"/datasets/{desk.datasets[0]}/questions")["items"]
    suggestion = {"question_id": questions[0]["id"], "value": "left", "type": "model"}
    status, _ = desk.owner.ask(
        "PUT", f"/records/{desk.record(first)['id']}/suggestions", suggestion
    )
    assert status < 300
    desk.answer(ana, first, "A")
    desk.answer(ana, second, "A")
    assert count(pull(project)) == {"counted": 1, "surplus": 1}
    assert {vote.origin: vote.counts for vote in votes(project)} == {
        "argilla": True,
        "argilla-assisted": False,
    }


def test_changes_by_hand_are_told_and_lose_nothing(
    project: Project, argilla: World, name: str
) -> None:
    design = draw(project, name=name)
    push(project)
    desk, (ana,) = Desk(argilla, design, [name]), people(argilla, 1)
    first, second, *_ = pair_ids(project, name)
    desk.answer(ana, first, "A")
    desk.answer(ana, second, "A")
    pull(project)
    dataset = desk.datasets[0]
    # A record whose text is another one now: its answers speak of something else.
    there = desk.record(second)
    changed = {"items": [{"id": there["id"], "fields": {**there["fields"], "left": "changed"}}]}
    status, said = desk.owner.ask("PUT", f"/datasets/{dataset}/records/bulk", changed)
    assert status == 200, said
    # And one of somebody else.
    extra = {"items": [{"fields": there["fields"], "external_id": "foreign"}]}
    assert desk.owner.ask("POST", f"/datasets/{dataset}/records/bulk", extra)[0] == 201
    pulled = pull(project)
    assert pulled.rejected == {"of a pair whose text was changed in Argilla": 1}
    assert (count(pulled), pulled.n_foreign) == ({"known": 1}, 1)
    assert len(votes(project)) == 2
    assert desk.owner.ask("DELETE", f"/datasets/{dataset}")[0] == 200
    with pytest.raises(BadInput, match="has no dataset of round"):
        pull(project)
    assert len(votes(project)) == 2
    assert push(project).datasets[0].n_new == 8  # two have their label
    assert pull(project).gone == ()


def test_a_dataset_of_that_name_that_is_not_ours_is_left_alone(
    project: Project, argilla: World, name: str
) -> None:
    design = draw(project, name=name)
    push(project)
    other = make_project(project.dir.parent / "other", f"sqlite:///{project.dir.parent / 'o.db'}")
    draw(other, name=name, seed=5)
    with pytest.raises(BadInput, match="already, with other records"):
        push(other)
    other.engine.dispose()
    assert len(Desk(argilla, design, [name]).records) == 10


def test_watching_ends_when_everything_is_answered(
    project: Project, argilla: World, name: str
) -> None:
    design = draw(project, n=3, name=name)
    push(project)
    desk, (ana,) = Desk(argilla, design, [name]), people(argilla, 1)
    left = pair_ids(project, name)

    def one_more(_: float) -> None:
        desk.answer(ana, left.pop(), "A")

    trouble: list[str] = []
    looks = watch(project, None, url=None, every_s=1.0, on_trouble=trouble.append, sleep=one_more)
    assert [look.answered for look in looks] == [0, 1, 2, 3]
    assert trouble == []


def test_somebody_who_labelled_on_our_page_is_not_counted_twice(
    project: Project, argilla: World, name: str
) -> None:
    from sqlalchemy import select

    from workbench.audit.people import enter
    from workbench.db.models import Item, Slot, Vote
    from workbench.db.session import writing

    design = draw(project, name=name)
    push(project)
    user = argilla.annotators(1)[0]
    username = argilla.owner().get(f"/users/{user[0]}")["username"]
    pair = pair_ids(project, name)[0]
    with writing(project.engine) as session:
        item, slot = session.execute(
            select(Item.id, Slot.id).join(Slot).where(Item.pair_id == pair)
        ).one()
        known: dict[str, Any] = {"label": "B", "left": "A", "details": {}, "origin": "workbench"}
        session.add(
            Vote(
                id="on-our-page",
                round_id=1,
                item_id=item,
                slot_id=slot,
                annotator_id=enter(session, username.upper()).id,
                created_at=1.0,
                **known,
            )
        )
    Desk(argilla, design, [name]).answer(user[1], pair, "A")
    assert count(pull(project)) == {"aside": 1}
    assert count(pull(project)) == {"known": 1}
    standing = [vote for vote in votes(project) if vote.undone_at is None]
    assert [vote.id for vote in standing] == ["on-our-page"]
