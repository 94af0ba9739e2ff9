"""Which recipe: every one can be reached, and only what matters is asked."""

from itertools import product

import pytest

from pipelines.errors import BadInput
from workbench.advising.questions import QUESTIONS, Question, advise
from workbench.data_files import data_dir


def test_every_recipe_is_the_advice_for_some_answers_and_always_has_reasons() -> None:
    found = set()
    for answers in product(*(question.answers for question in QUESTIONS)):
        said = dict(zip((one.name for one in QUESTIONS), answers, strict=True))
        advice = advise(lambda question, said=said: said[question.name])  # type: ignore[misc]  # mypy cannot type a default in a lambda
        assert advice.why
        found.add(advice.recipe)
    assert found == {path.stem for path in (data_dir() / "recipes").glob("*.toml")}


@pytest.mark.parametrize(
    ("said", "recipe"),
    [
        ({"judge": "none"}, "self-rewarding"),
        ({"judge": "pairs", "attacks": "yes"}, "red-team"),
        ({"judge": "pairs", "attacks": "no", "rules": "none", "simplest": "yes"}, "rlaif-dpo"),
        ({"judge": "rating", "attacks": "no", "rules": "none"}, "ratings-dpo"),
    ],
)
def test_only_what_matters_is_asked(said: dict[str, str], recipe: str) -> None:
    advice = advise(lambda question: said[question.name])
    assert advice.recipe == recipe
    assert advice.answers == said


def test_ppo_is_not_the_advice_where_there_is_no_compute() -> None:
    for answers in product(*(question.answers for question in QUESTIONS)):
        said = dict(zip((one.name for one in QUESTIONS), answers, strict=True))
        if said["compute"] != "small":
            continue
        advice = advise(lambda question, said=said: said[question.name])  # type: ignore[misc]  # as above
        text = (data_dir() / "recipes" / f"{advice.recipe}.toml").read_text()
        assert 'method = "ppo"' not in text


def test_an_unknown_answer_is_one_line_with_what_can_be_said() -> None:
    def ask(question: Question) -> str:
        return "perhaps"

    with pytest.raises(BadInput) as told:
        advise(ask)
    assert str(told.value) == '"perhaps" is no answer to --judge; say none or rating or pairs'
