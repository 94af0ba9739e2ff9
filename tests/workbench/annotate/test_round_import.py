"""Any Argilla dataset with a label, ranking or rating question becomes pairs and labels."""

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from argilla_rounds import Desk, draw, make_project
from argilla_world import Caller, World

from pipelines.errors import BadInput
from pipelines.importing import import_file
from workbench.annotate.client import KEY_VARIABLE, URL_VARIABLE
from workbench.annotate.import_ import Imported, import_dataset
from workbench.annotate.mapping import left_of
from workbench.annotate.pull import pull
from workbench.annotate.push import push
from workbench.project import Project

OPTIONS = {"type": "label_selection", "visible_options": None}
RANKING = {"type": "ranking", "options": [{"value": v, "text": v} for v in ("left", "right")]}
RATING: dict[str, Any] = {"type": "rating", "options": [{"value": n} for n in range(1, 6)]}


def label_settings(*options: str) -> dict[str, Any]:
    return OPTIONS | {"options": [{"value": v, "text": v} for v in options]}


@pytest.fixture
def project(tmp_path: Path, argilla: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.setenv(URL_VARIABLE, argilla.url)
    monkeypatch.setenv(KEY_VARIABLE, argilla.key)
    made = make_project(tmp_path / "project", f"sqlite:///{tmp_path / 'w.db'}", n_pairs=0)
    yield made
    if "engine" in vars(made):
        made.engine.dispose()


class Library:
    """A dataset that somebody else made, and people who answer in it."""

    def __init__(
        self,
        world: World,
        questions: dict[str, dict[str, Any]],
        fields: Sequence[str] = ("prompt", "left", "right"),
    ) -> None:
        self.owner, self.name = world.owner(), f"theirs-{time.time_ns()}"
        workspace = self.owner.get("/me/workspaces")["items"][0]["id"]
        made = self.owner.post("/datasets", {"name": self.name, "workspace_id": workspace})
        self.base = f"/datasets/{made['id']}"
        for one in fields:
            text = {"type": "text", "use_markdown": True}
            field = {"name": one, "title": one, "settings": text, "required": False}
            self.owner.post(f"{self.base}/fields", {**field, "required": one == fields[0]})
        for number, (name, settings) in enumerate(questions.items()):
            question = {"name": name, "title": name, "settings": settings}
            self.owner.post(f"{self.base}/questions", {**question, "required": number == 0})
        assert self.owner.ask("PUT", f"{self.base}/publish")[0] == 200
        self.people = world.annotators(2)

    def add(self, number: int, **fields: str) -> str:
        """A record; its id."""
        made = self.owner.post(
            f"{self.base}/records/bulk",
            {"items": [{"external_id": f"theirs-{number}", "fields": fields}]},
        )
        return str(made["items"][0]["id"])

    def answer(self, who: Caller, record: str, status: str = "submitted", **values: Any) -> None:
        """One answer."""
        said = {name: {"value": value} for name, value in values.items()}
        who.post(f"/records/{record}/responses", {"status": status, "values": said})


def human(project: Project) -> dict[str, list[str]]:
    """The imported labels by pair."""
    pairs = project.store.pairs(range(len(project.store)))
    return {str(pair.id): [label.label for label in pair.human] for pair in pairs}


def bring(project: Project, library: Library, **more: Any) -> Imported:
    return import_dataset(project, library.name, **more)


def test_a_label_question(project: Project, argilla: World) -> None:
    library = Library(argilla, {"better": label_settings("left", "right", "tie", "unsure")})
    (_, ana), (_, ben) = library.people
    first = library.add(1, prompt="p1", left="l1", right="r1")
    second = library.add(2, prompt="p2", left="l2", right="r2")
    library.add(3, prompt="p3", left="only one")
    library.answer(ana, first, better="left")
    library.answer(ben, first, better="tie")
    library.answer(ana, second, better="unsure")
    library.answer(ben, second, status="draft", better="right")
    questions = library.owner.get(f"{library.base}/questions")["items"]
    suggestion = {"question_id": questions[0]["id"], "value": "right", "agent": "gpt-x"}
    place = f"/records/{second}/suggestions"
    assert library.owner.ask("PUT", place, suggestion | {"score": 0.8})[0] < 300

    done = bring(project, library)
    assert done.says == "question better: left is A, right is B, tie is tie"
    assert (done.n_records, done.n_labels, done.n_suggestions) == (3, 2, 1)
    assert done.unread == {
        "answers that choose none of the two": 1,
        "drafts": 1,
        "records without a prompt and two texts": 1,
    }
    assert done.summary.counts.verdicts == {"B": 1}
    assert human(project) == {"theirs-1": ["A", "tie"], "theirs-2": []}
    assert bring(project, library).summary.earlier
    # What options mean may be said.
    library.answer(ben, library.add(4, prompt="p4", left="l4", right="r4"), better="unsure")
    more = bring(project, library, labels={"unsure": "tie"})
    assert human(project)["theirs-4"] == ["tie"]
    # Pairs that are here already keep the labels that they came with.
    assert more.summary.counts.rejected == {"duplicate id": 1}


def test_a_ranking_question_keeps_its_ties(project: Project, argilla: World) -> None:
    library = Library(argilla, {"rank": RANKING})
    ana = library.people[0][1]
    for number, ranks in enumerate([(1, 2), (2, 1), (1, 1)]):
        record = library.add(number, prompt=f"p{number}", left=f"l{number}", right=f"r{number}")
        given = [{"value": v, "rank": r} for v, r in zip(("left", "right"), ranks, strict=True)]
        library.answer(ana, record, rank=given)
    assert bring(project, library).n_labels == 3
    assert list(human(project).values()) == [["A"], ["B"], ["tie"]]


def test_a_scale_and_two_ratings(project: Project, argilla: World) -> None:
    library = Library(argilla, {"scale": RATING, "of_left": RATING, "of_right": RATING})
    ana = library.people[0][1]
    for number, (scale, left, right) in enumerate([(2, 5, 1), (3, 2, 2), (5, 1, 3)]):
        record = library.add(number, prompt=f"p{number}", left=f"l{number}", right=f"r{number}")
        library.answer(ana, record, scale=scale, of_left=left, of_right=right)
    with pytest.raises(BadInput, match="none of its questions chooses"):
        bring(project, library)
    done = bring(project, library, questions=["of_left", "of_right"])
    assert done.says == "of_left rates A, of_right rates B, the greater wins"
    assert list(human(project).values()) == [["A"], ["tie"], ["B"]]
    # The scale says the same of these, so nothing is different.
    assert bring(project, library, questions=["scale"]).summary.counts.rejected == {}


def test_what_cannot_be_told_is_asked_for(project: Project, argilla: World) -> None:
    questions = {"which": label_settings("this", "that", "other")}
    library = Library(argilla, questions, fields=("ask", "one", "two", "three"))
    with pytest.raises(BadInput, match="cannot tell prompt and responses"):
        bring(project, library)
    fields: dict[str, Any] = {"prompt": "ask", "responses": ("two", "one")}
    with pytest.raises(BadInput, match="cannot tell which options"):
        bring(project, library, **fields)
    with pytest.raises(BadInput, match="has no field 'four'"):
        bring(project, library, responses=("one", "four"))
    with pytest.raises(BadInput, match="has no question 'why'"):
        bring(project, library, **fields, questions=["why"])
    with pytest.raises(BadInput, match="has no option 'x'"):
        bring(project, library, **fields, labels={"x": "A"})
    with pytest.raises(BadInput, match="has no dataset 'nothing'"):
        import_dataset(project, "nothing")
    record = library.add(1, ask="p", one="first", two="second")
    library.answer(library.people[0][1], record, which="that")
    done = bring(project, library, **fields, labels={"this": "A", "that": "B"})
    assert (done.fields.a, done.fields.b) == ("two", "one")
    assert human(project) == {"theirs-1": ["B"]}
    # The same name in another workspace: somebody must say which.
    space = f"twin-{time.time_ns()}"
    place = library.owner.post("/workspaces", {"name": space})["id"]
    library.owner.post("/datasets", {"name": library.name, "workspace_id": place})
    with pytest.raises(BadInput, match=rf"is in several workspaces .*'{space}'.*by --workspace"):
        bring(project, library)
    with pytest.raises(BadInput, match=r"has no dataset .* in workspace 'elsewhere'"):
        bring(project, library, workspace="elsewhere")


def test_a_pushed_round_comes_back_with_every_character(
    project: Project, argilla: World, tmp_path: Path
) -> None:
    name = f"markup-{time.time_ns()}"
    texts = ["kill <pid> && echo &lt;b&gt;", "<script>alert(1)</script>", "<\u2060i> $a<b$", ""]
    texts += ["<img src=http://127.0.0.1/x>", "你好 <名>", "مرحبا &amp; أهلا", "a\n  b\tc"]
    rows = [
        {"id": f"p-{n}", "prompt": f"{text} ?", "response_a": text, "response_b": f"{text} &not"}
        | {"ai": [{"judge": "j", "label": "A"}]}
        for n, text in enumerate(texts)
    ]
    file = tmp_path / "markup.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    import_file(project.store, file, project.config)
    design = draw(project, n=len(texts), name=name)
    push(project)
    desk, ana = Desk(argilla, design, [name]), argilla.annotators(1)[0][1]
    for row in rows:
        desk.answer(ana, str(row["id"]), "A")
    pulled = pull(project)
    assert (pulled.rejected, pulled.answered) == ({}, len(texts))
    search = f"/me/datasets/{desk.datasets[0]}/records/search"
    for words, n_found in (("<pid>", 1), ("&lt;b", 1), ('-"<img"', 7), ("<nothing>", 0)):
        assert ana.post(search, {"query": {"text": {"q": words}}})["total"] == n_found, words
    other = make_project(tmp_path / "other", f"sqlite:///{tmp_path / 'o.db'}", n_pairs=0)
    done = import_dataset(other, name)
    assert (done.n_labels, done.unread) == (len(texts), {})
    back = {
        (str(pair.prompt[0].content), frozenset((pair.response_a, pair.response_b)))
        for pair in other.store.pairs(range(len(other.store)))
        if not isinstance(pair.prompt, str)
    }
    assert back == {
        (row["prompt"], frozenset((row["response_a"], row["response_b"]))) for row in rows
    }
    labels = Counter(one[0] for one in human(other).values())
    lefts = Counter(left_of(design, str(row["id"])) for row in rows)
    assert labels == lefts  # A is what stood on the left
