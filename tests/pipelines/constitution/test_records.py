"""Constitutions: what ships, one sentence for each mistake, a hash that names a version."""

from pathlib import Path

import pytest

from pipelines.constitution.records import Constitution, load_constitution
from pipelines.errors import BadInput

SHIPPED = Path(__file__).parents[3] / "data" / "constitutions"
NAMES = sorted(path.name for path in SHIPPED.glob("*.toml"))

ONE = """
name = "Mine"
[[principles]]
id = "kind"
name = "Kindness"
description = "Be kind."
comparison_question = "Which is kinder?"
critique_question = "Is it unkind?"
revision_request = "Make it kinder."
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "constitution.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_what_ships():
    assert NAMES == [
        "brand-voice.toml",
        "code-safety.toml",
        "helpful-harmless-honest-private.toml",
        "helpful-harmless-honest-private.zh.toml",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_each_that_ships_asks_questions(name):
    constitution = load_constitution(SHIPPED / name)
    assert len(constitution.principles) >= 7
    for principle in constitution.principles:
        question = principle.comparison_question
        assert "?" in question or "？" in question or "；如果" in question
        assert principle.critique_question.strip()[-1] in "?？"
        assert principle.revision_request.strip()[-1] in ".。"


def test_both_languages_have_the_same_principles():
    english = load_constitution(SHIPPED / "helpful-harmless-honest-private.toml")
    chinese = load_constitution(SHIPPED / "helpful-harmless-honest-private.zh.toml")
    assert [(one.id, one.weight) for one in english.principles] == [
        (one.id, one.weight) for one in chinese.principles
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", r'"name" is missing; add it'),
        ('name = "x"', r'"principles" is missing; add it'),
        ('name = "x"\nprinciples = []', r'"principles" is empty; write at least 1'),
        (ONE.replace('id = "kind"', ""), r'"principles\[1\]\.id" is missing; add it'),
        (ONE.replace('id = "kind"', 'id = "be kind"'), r'"principles\[1\]\.id" is \'be kind\''),
        (ONE.replace("Be kind.", "  "), r'"principles\[1\]\.description"'),
        (
            ONE.replace("critique_question", "critique"),
            r'"principles\[1\]\.critique_question" is missing|unknown key',
        ),
        (
            ONE + "wieght = 2",
            r'unknown key "principles\[1\]\.wieght"; did you mean "principles\[1\]\.weight"',
        ),
        (ONE + "weight = -1", r'"principles\[1\]\.weight" is -1'),
        (ONE + "weight = nan", r'"principles\[1\]\.weight" is nan'),
        (ONE + "weight = 0", "every principle has the weight 0"),
        (ONE + ONE.replace('name = "Mine"', ""), 'two principles have the id "kind"'),
        (
            ONE + ONE.replace('name = "Mine"', "").replace('"kind"', '"kinder"'),
            'two principles have the name "Kindness"',
        ),
        (ONE + '[[principles.examples]]\nprompt = "p"', r"examples\[1\]\.response"),
        ("name = ", "not valid TOML"),
    ],
)
def test_a_mistake_is_one_sentence_that_names_file_and_key(tmp_path, text, words):
    path = write(tmp_path, text)
    with pytest.raises(BadInput, match=words) as mistake:
        load_constitution(path)
    assert str(mistake.value).startswith(f"{path}: ")
    assert "\n" not in str(mistake.value)


def test_a_file_that_cannot_be_read_is_one_sentence_too(tmp_path):
    with pytest.raises(BadInput, match="a constitution cannot be read"):
        load_constitution(tmp_path / "none.toml")
    path = tmp_path / "latin.toml"
    path.write_bytes(b'name = "\xe9"')
    with pytest.raises(BadInput, match="not UTF-8"):
        load_constitution(path)


def test_the_hash_names_the_words_and_weights_and_not_the_layout(tmp_path):
    constitution = load_constitution(write(tmp_path, ONE))
    assert len(constitution.hash()) == 32
    laid_out = load_constitution(write(tmp_path, "# why\n" + ONE.replace(" = ", "   =   ")))
    assert laid_out == constitution
    assert laid_out.hash() == constitution.hash()
    hashes = {constitution.hash()}
    for old, new in [
        ("Be kind.", "Be kind!"),
        ("Which is kinder?", "Which one is kinder?"),
        ("Is it unkind?", "Unkind?"),
        ("Make it kinder.", "Kinder."),
        ('id = "kind"', 'id = "kindness"'),
        ('name = "Mine"', 'name = "Yours"'),
        ('id = "kind"', 'id = "kind"\nweight = 2'),
    ]:
        hashes.add(load_constitution(write(tmp_path, ONE.replace(old, new, 1))).hash())
    assert len(hashes) == 8


def test_principles_are_found_by_id(tmp_path):
    constitution = load_constitution(write(tmp_path, ONE))
    assert constitution.principle("kind") is constitution.principles[0]
    assert constitution.principle("cruel") is None
    assert isinstance(constitution, Constitution)
