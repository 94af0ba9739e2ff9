"""People's verdicts on critiques: versions stay, the newest counts, precision by hand."""

import pytest
from sqlalchemy import select

from pipelines.constitution.trajectory import Critique, Response
from pipelines.errors import BadInput
from workbench.audit.critiques import critic_precision, critique_id, judged_by, put_verdict
from workbench.audit.people import enter
from workbench.db.migrate import upgrade
from workbench.db.models import CritiqueVerdict
from workbench.db.session import open_engine, reading, writing


def critique(verdict="violated", principle="kind", failure=None):
    return Critique(
        principle=principle, constitution="c1", critic="m", verdict=verdict, why="x",
        improve="y", failure=failure,
    )  # fmt: skip


def test_the_newest_verdict_of_a_person_counts_and_the_others_stay(database_url):
    engine = open_engine(database_url)
    upgrade(engine)
    with writing(engine) as session:
        ana, ben = (enter(session, name).id for name in ("ana", "ben"))
        for who, id, opinion in (
            (ana, "a", "wrong"), (ana, "a", "right"), (ben, "a", "right"),  # right
            (ana, "b", "wrong"),  # wrong
            (ana, "c", "right"), (ben, "c", "wrong"),  # split
            (ana, "d", "unsure"),
            (ana, "e", "right"), (ana, "e", "withdrawn"),
        ):  # fmt: skip
            put_verdict(session, id, critique(), who, opinion)
        put_verdict(session, "f", critique("satisfied"), ana, "right")
        sent = [
            put_verdict(session, "b", critique(), ana, "wrong", said_id="0" * 32) for _ in range(2)
        ]
        assert sent == [True, False]  # it arrived twice and is kept once
        with pytest.raises(BadInput, match="neither right nor wrong"):
            put_verdict(session, "g", critique(None, failure="unparsed"), ana, "right")
    with reading(engine) as session:
        violated, satisfied = critic_precision(session, "c1", "m", ["kind"])
        assert (violated.right.estimate, violated.right.n, violated.n_undecided) == (0.5, 2, 2)
        assert (satisfied.right.estimate, satisfied.right.n) == (1.0, 1)
        assert critic_precision(session, "c2", "m", ["kind"])[0].right is None
        assert set(judged_by(session, ana)) == {"a", "b", "c", "d", "f"}
        assert len(session.scalars(select(CritiqueVerdict)).all()) == 11
    engine.dispose()


def test_a_critique_is_named_by_what_a_person_sees_of_it():
    one = Response(id="1", prompt="p", text="t")
    again = Response(id="2", prompt="p", text="t")
    assert critique_id(one, "t", critique()) == critique_id(again, "t", critique())
    assert critique_id(one, "u", critique()) != critique_id(one, "t", critique())
    assert critique_id(one, "t", critique("satisfied")) != critique_id(one, "t", critique())
