"""Every mistake of a constitution's file gets its line; versions are compared word by word."""

from pathlib import Path

import pytest

from pipelines.constitution.check import check_constitution, diff_constitutions
from pipelines.constitution.records import Constitution, load_constitution
from pipelines.errors import BadInput

DATA = Path(__file__).parents[3] / "data"
SHIPPED = [*sorted(DATA.glob("constitutions/*.toml")), DATA / "helpdesk" / "constitution.toml"]

ONE = """
[[principles]]
id = "{id}"
name = "{name}"
description = "{description}"
weight = {weight}
comparison_question = "Which?"
critique_question = "Is it?"
revision_request = "Make it."
"""


def file(folder: Path, *principles: str) -> Path:
    path = folder / "constitution.toml"
    path.write_text('name = "Mine"\n' + "".join(principles), encoding="utf-8")
    return path


def one(
    id: str = "kind", name: str = "Kind", description: str = "Be kind to all.", weight: float = 1
) -> str:
    return ONE.format(id=id, name=name, description=description, weight=weight)


def errors(path: Path) -> list[str]:
    return [one.message for one in check_constitution(path)[1] if one.kind == "error"]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_what_ships_has_no_errors_and_has_examples(path):
    constitution, problems = check_constitution(path)
    assert constitution is not None
    assert [one for one in problems if one.kind == "error"] == []
    assert any(principle.examples for principle in constitution.principles)


def test_all_mistakes_are_told_at_once_each_with_its_key(tmp_path):
    path = file(
        tmp_path,
        one(),
        one("Kind", "kind", "Tell the truth."),
        one("true", "True").replace('critique_question = "Is it?"\n', ""),
        one("x", "X", "Keep secrets.").replace('id = "x"\n', ""),
        one("y", "Y", "Say it short.").replace("weight", "wieght"),
    )
    found = errors(path)
    for words in (
        'principles[2].id: "Kind" is also the id of principles[1]',
        'principles[2].name: "kind" is also the name of principles[1]',
        '"principles[3].critique_question" is missing; add it',
        "principles[3].description: says nearly the same as principles[1].description",
        '"principles[4].id" is missing; add it',
        'unknown key "principles[5].wieght"; did you mean "principles[5].weight"?',
    ):
        assert any(words in line for line in found), words
    assert len(found) == 6
    assert all("\n" not in line for line in found)


def test_the_same_description_with_another_weight_contradicts_itself(tmp_path):
    path = file(tmp_path, one(), one("b", "B", "Be kind to all!", weight=3))
    assert errors(path) == [
        "principles[2].weight: 3 contradicts 1 of principles[1], whose description says nearly the "
        "same; keep one of the two"
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", '"name" is missing'),
        ('name = "x"\nprinciples = []', '"principles" is empty; write at least 1'),
        ('name = "x"\n' + one(weight=0), "every principle has the weight 0"),
        ('name = "x"\n' + one(weight=-1), '"principles[1].weight" is -1'),
    ],
)
def test_an_empty_or_weightless_constitution_is_refused(tmp_path, text, words):
    path = tmp_path / "constitution.toml"
    path.write_text(text)
    assert any(words in line for line in errors(path))


def test_a_constitution_of_one_bad_principle_is_not_called_empty(tmp_path):
    path = file(tmp_path, one().replace('id = "kind"\n', ""))
    assert errors(path) == ['"principles[1].id" is missing; add it']


def test_examples_that_contradict_are_told(tmp_path):
    example = '[[principles.examples]]\nprompt = "p"\nresponse = "r"\nviolates = {}\nwhy = "w"\n'
    path = file(tmp_path, one(), example.format("true"), example.format("false"))
    assert errors(path) == [
        "principles[1].examples[2]: is there as both (violates true and false); keep one"
    ]


def test_a_weight_that_outvotes_all_others_is_noted_not_refused(tmp_path):
    path = file(
        tmp_path,
        one(weight=9),
        one("b", "B", "Tell the truth."),
        one("c", "C", "Keep secrets.", weight=0),
    )
    _, problems = check_constitution(path)
    notes = [one.message for one in problems if one.kind == "note" and "weight" in one.message]
    assert [note.split(":")[0] for note in notes] == [
        "principles[1].weight",
        "principles[3].weight",
    ]
    assert not errors(path)


def test_a_file_that_is_not_there_or_no_toml_is_one_sentence(tmp_path):
    with pytest.raises(BadInput, match="cannot be read"):
        check_constitution(tmp_path / "none.toml")
    (tmp_path / "broken.toml").write_text("[[")
    with pytest.raises(BadInput, match=r"broken\.toml: not valid TOML"):
        check_constitution(tmp_path / "broken.toml")


def test_a_difference_names_both_versions_and_every_change(tmp_path):
    old = load_constitution(file(tmp_path, one(), one("b", "B", "Tell the truth.")))
    new = load_constitution(
        file(
            tmp_path, one("c", "C", "Keep secrets."), one(description="Be kind to most.", weight=2)
        )
    )
    found = diff_constitutions(old, new)
    assert (found.old_hash, found.new_hash) == (old.hash(), new.hash())
    assert [one.id for one in found.added] == ["c"]
    assert [one.id for one in found.removed] == ["b"]
    ((id, fields),) = found.changed
    assert (id, [(one.field, one.old, one.new) for one in fields]) == (
        "kind",
        [("description", "Be kind to all.", "Be kind to most."), ("weight", "1", "2")],
    )
    assert [(one.kind, one.text) for one in fields[0].pieces][1:3] == [
        ("removed", "all"),
        ("added", "most"),
    ]


def test_another_order_is_a_difference(tmp_path):
    first = load_constitution(file(tmp_path, one(), one("b", "B", "Tell the truth.")))
    second = Constitution(name=first.name, principles=first.principles[::-1])
    assert diff_constitutions(first, second).reordered
    assert not diff_constitutions(first, first).reordered
