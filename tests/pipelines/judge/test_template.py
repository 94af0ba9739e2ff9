"""Template files: strict loading, one sentence for each mistake, hashes that mean something."""

import itertools
import tomllib
from pathlib import Path
from typing import get_args

import pytest

from pipelines.errors import BadInput
from pipelines.judge.spec import JudgeSpec, Mode
from pipelines.judge.template import (
    Template,
    load_examples,
    load_template,
    load_template_file,
)
from pipelines.judge.template_file import TemplateFile

MODES = get_args(Mode)
LANGUAGES = ("en", "zh")
TASKS = ("dialogue", "summarisation", "code", "safety")
SHIPPED = list(itertools.product(LANGUAGES, TASKS))


def constitution_for(language: str) -> str:
    return "helpful-harmless-honest-private" + (".zh" if language == "zh" else "")


@pytest.mark.parametrize(("language", "task"), SHIPPED)
def test_what_ships_says_what_it_is(data, language, task):
    parts = load_template_file(data / "prompts" / language / f"{task}.toml")
    assert (parts.language, parts.task, parts.answers) == (language, task, ("A", "B"))
    assert len(parts.preamble.detailed) > 2 * len(parts.preamble.basic)
    assert len(parts.criteria) == 4
    if language == "zh":
        texts = [parts.material, parts.preamble.detailed, *parts.ending.model_dump().values()]
        assert all(any("\u4e00" <= c <= "\u9fff" for c in text) for text in texts)


@pytest.mark.parametrize(("language", "task"), SHIPPED)
def test_shipped_examples_favour_no_position(data, language, task):
    examples = load_examples(data / "prompts" / language / "examples" / f"{task}.toml")
    winners = [example.winner for example in examples]
    assert winners.count("A") == winners.count("B") >= 1


def test_the_folder_holds_nothing_that_is_not_tested(data):
    found = {path.relative_to(data / "prompts") for path in (data / "prompts").rglob("*.toml")}
    assert found == {
        Path(language) / folder / f"{task}.toml"
        for language, task in SHIPPED
        for folder in ("", "examples")
    }


@pytest.fixture
def folder(tmp_path, data):
    """A project with a copy of the English dialogue template that a test may spoil."""

    def write(old: str = "", new: str = "") -> Path:
        text = (data / "prompts/en/dialogue.toml").read_text(encoding="utf-8")
        assert old in text
        path = tmp_path / "prompts/en/dialogue.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        return tmp_path

    return write


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('tie = "tie"', 'ties = "tie"', r'"tie" is missing|unknown key "ties"; did you mean "tie"'),
        ("[names]", '[names]\ncolour = "red"', r'unknown key "names\.colour"'),
        (
            "{question}\n\nReply with {a} or {b} and nothing else.",
            "{question}\n\nReply with {a} and nothing else.",
            r"ending\.logprob lacks the placeholder \{b\}; put it in",
        ),
        ("{prompt}\n\n{first}", "{prompt}\n\n{frist}", r"pair\.both has the unknown placeholder"),
        ("{prompt}\n\n{first}", "{prompt!r}\n\n{first}", r"unknown placeholder \{prompt\}"),
        ("{prompt}\n\n{first}", "{prompt.x}\n\n{first}", r"unknown placeholder \{prompt\.x\}"),
        ("{prompt}\n\n{first}", "{prompt}\n\n{first} {", r"pair\.both has a single brace"),
        ('tie = "tie"', 'tie = "a"', "answers and tie must be three different words"),
        ('answers = ["A", "B"]', 'answers = ["A"]', r'"answers\[2\]" is missing; add it'),
        ('name = "honesty"', 'name = "helpfulness"', "two criteria have the same name"),
        ('response = "response"', 'response = "re>ponse"', r'"names\.response" is \'re>ponse\''),
        ("[names]", "[names", "not valid TOML"),
    ],
)
def test_a_mistake_is_one_sentence_that_names_file_and_part(folder, old, new, words):
    path = folder(old, new) / "prompts/en/dialogue.toml"
    with pytest.raises(BadInput, match=words) as mistake:
        load_template_file(path)
    assert str(mistake.value).startswith(str(path))
    assert "\n" not in str(mistake.value)


def test_the_projects_own_file_goes_before_the_one_that_ships(folder, data):
    project = folder("You compare two responses of an assistant", "You weigh two replies")
    spec = JudgeSpec(name="j", model="m", preamble="basic")
    assert load_template(spec, [project, data]).system.content.startswith("You weigh two replies")
    assert load_template(spec, [data]).system.content.startswith("You compare two responses")
    named = JudgeSpec(name="j", model="m", template="prompts/en/dialogue.toml", preamble="basic")
    assert load_template(named, [project, data]).hash == load_template(spec, [project, data]).hash


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"template": "poetry"}, r'template "poetry" is no file .* code, dialogue, safety, summ'),
        ({"constitution": "mine"}, r'constitution "mine" is no file .* brand-voice, code-safety'),
        ({"examples": "mine"}, r'examples "mine" is no file .* code, dialogue'),
        ({"mode": "per-principle"}, "mode per-principle needs a constitution"),
        ({"mode": "rating", "examples": "dialogue"}, "mode rating takes no examples"),
        ({"mode": "rating", "criteria": ("wit",)}, r'has no criterion "wit"; it has: helpfulness'),
        ({"weights": {"wit": 1.0}}, r'weights names "wit"; there are: none in mode logprob'),
        ({"mode": "rating", "weights": {"wit": 1.0}}, r'weights names "wit"; there are: helpful'),
        (
            {"mode": "rating", "criteria": ("honesty",), "weights": {"honesty": 0.0}},
            "all weights are 0",
        ),
        (
            {"template": "prompts/en/dialogue.toml", "language": "zh"},
            r'is in "en", not in "zh"; set language = "en"',
        ),
    ],
)
def test_a_judge_that_cannot_be_asked_is_named_with_what_to_do(data, keys, words):
    with pytest.raises(BadInput, match=f'judge "j": .*{words}'):
        load_template(JudgeSpec(name="j", model="m", **keys), [data])


def mode_keys(mode: str, language: str = "en") -> dict[str, object]:
    keys: dict[str, object] = {"mode": mode, "language": language}
    if mode in ("per-principle", "check"):
        keys["constitution"] = constitution_for(language)
    return keys


@pytest.mark.parametrize("mode", MODES)
def test_a_hash_is_the_same_for_the_same_texts_however_the_file_is_laid_out(folder, data, mode):
    spec = JudgeSpec(name="j", model="m", **mode_keys(mode))
    shipped = load_template(spec, [data])
    assert shipped.hash == load_template(spec, [data]).hash
    commented = folder('tie = "tie"', "# a comment\ntie   =   'tie'")
    assert load_template(spec, [commented, data]).hash == shipped.hash
    assert len(shipped.hash) == 32


def test_hashes_differ_between_whatever_is_asked_differently(judge):
    judges = [
        *({"template": task, "language": language} for language, task in SHIPPED),
        {"preamble": "basic"},
        {"constitution": "brand-voice"},
        {"examples": "dialogue"},
        *({"constitution": "code-safety", "mode": mode} for mode in MODES),
        {"mode": "rating"},
        {"mode": "rating", "criteria": ("honesty", "helpfulness")},
    ]
    hashes = [judge(**keys)[1].hash for keys in judges]
    assert len(set(hashes)) == len(hashes)


def test_editing_one_modes_ending_changes_only_the_judges_of_that_mode(folder, data):
    project = folder("Your reply could not be read. Give your verdict", "Once more: your verdict")
    for mode in ("logprob", "verdict", "cot+logprob", "rating"):
        spec = JudgeSpec(name="j", model="m", mode=mode)
        same = load_template(spec, [project, data]).hash == load_template(spec, [data]).hash
        assert same == (mode != "verdict")


def test_how_a_constitution_criticises_does_not_change_what_a_comparison_asks(tmp_path, data):
    text = (data / "constitutions/brand-voice.toml").read_text(encoding="utf-8")
    (tmp_path / "own.toml").write_text(
        text.replace("critique_question = ", 'critique_question = "Well? " # ')
    )
    for mode in ("logprob", "per-principle"):
        ships = JudgeSpec(name="j", model="m", mode=mode, constitution="brand-voice")
        own = JudgeSpec(name="j", model="m", mode=mode, constitution="own.toml")
        assert load_template(own, [tmp_path, data]).hash == load_template(ships, [data]).hash


def test_a_part_that_stands_in_the_file_but_is_not_used_is_read_all_the_same(data):
    raw = tomllib.loads((data / "prompts/en/dialogue.toml").read_text(encoding="utf-8"))
    template = Template(TemplateFile.model_validate(raw), "logprob", "basic")
    assert template.system.role == "system"
    assert template.parts.preamble.basic.strip() in template.system.content
    assert template.parts.preamble.detailed.strip() not in template.system.content


@pytest.mark.parametrize("mode", ["logprob", "cot+logprob", "verdict", "self-consistency"])
def test_examples_show_the_reply_that_the_mode_asks_for(judge, mode):
    _, template = judge(mode=mode, examples="dialogue")
    replies = template.system.content.split("A good answer:\n")[1:]
    first = replies[0].split("\n\nExample")[0]
    if mode == "logprob":
        assert first == "B"
    elif mode == "verdict":
        assert first.endswith("Winner: B\nConfidence: 0.95")
    else:
        assert first.startswith("Request: B names a dish")
        assert first.endswith("\n\nB")
