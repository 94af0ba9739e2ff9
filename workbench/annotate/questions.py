"""What the answers to a dataset's questions say of two responses: A, B or tie."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.errors import BadInput
from pipelines.records import Label

_FIRST = {"a", "left", "1", "first", "response_a", "response_1", "response1", "response-1"}
_SECOND = {"b", "right", "2", "second", "response_b", "response_2", "response2", "response-2"}
_TIE = {"tie", "draw", "equal", "same", "both", "neither", "both_good", "both_bad", "none"}


@dataclass(frozen=True)
class Choice:
    """How to read a dataset.

    Attributes:
        says: In a sentence, for the person who imports.
        label: From the values of one answer by question; None where it chooses nothing.
        ids: Name of each question that is read, by the server's id.
    """

    says: str
    label: Callable[[Mapping[str, Any]], Label | None]
    ids: dict[str, str]

    def question_of(self, question_id: str) -> str | None:
        """The name of a question that is read; None for any other."""
        return self.ids.get(question_id)


def find_choice(
    rg: Any,
    dataset: Any,
    field_a: str,
    field_b: str,
    names: Sequence[str],
    labels: Mapping[str, Label],
) -> Choice:
    """How the questions of a dataset choose between two responses.

    Args:
        rg: Argilla's package.
        dataset: With its settings.
        field_a: The field of response A, which options may be named after.
        field_b: Likewise.
        names: The questions to read; empty: the only one that will do.
        labels: What options mean.

    Raises:
        BadInput: No question will do, several would, or options cannot be told apart.
    """
    questions = {str(one.name): one for one in dataset.settings.questions}
    unknown = [name for name in names if name not in questions]
    if unknown:
        raise BadInput(
            f"{dataset.name!r} has no question {unknown[0]!r}; it has {', '.join(questions)}"
        )
    if len(names) == 2:
        return _two_ratings(rg, [questions[name] for name in names])
    if len(names) > 2:
        raise BadInput("at most two questions can be read: one, or a rating of each response")
    if names:
        chosen = questions[names[0]]
    else:
        fitting = [one for one in questions.values() if _fits(rg, one)]
        if len(fitting) != 1:
            what = "none of its questions chooses" if not fitting else "several questions could"
            raise BadInput(
                f"{dataset.name!r}: {what} between two responses ({', '.join(questions)}); name "
                "one by --question, or a rating of each response by giving it twice"
            )
        chosen = fitting[0]
    if isinstance(chosen, rg.RankingQuestion):
        return _ranking(chosen, field_a, field_b)
    if isinstance(chosen, rg.RatingQuestion):
        return _scale(chosen)
    if isinstance(chosen, rg.LabelQuestion) and not isinstance(chosen, rg.MultiLabelQuestion):
        return _label(chosen, field_a, field_b, labels)
    raise BadInput(f"question {chosen.name!r} is no label, ranking or rating question")


def _fits(rg: Any, question: Any) -> bool:
    if isinstance(question, rg.RankingQuestion):
        return len(question.values) == 2
    return isinstance(question, rg.LabelQuestion) and not isinstance(
        question, rg.MultiLabelQuestion
    )


def _ids(*questions: Any) -> dict[str, str]:
    return {str(one.id): str(one.name) for one in questions}


def _label(question: Any, field_a: str, field_b: str, said: Mapping[str, Label]) -> Choice:
    options = [str(option) for option in question.labels]
    unknown = [option for option in said if option not in options]
    if unknown:
        raise BadInput(
            f"question {question.name!r} has no option {unknown[0]!r}; it has {', '.join(options)}"
        )
    meaning = {option: said.get(option) or _means(option, field_a, field_b) for option in options}
    if len(options) == 2 and not any(meaning.values()):
        meaning = {options[0]: "A", options[1]: "B"}
    if not {"A", "B"} <= set(meaning.values()):
        raise BadInput(
            f"cannot tell which options of {question.name!r} mean A and B ({', '.join(options)}); "
            "say so by --label OPTION=A --label OPTION=B, and --label OPTION=tie"
        )
    told = ", ".join(f"{option} is {label}" for option, label in meaning.items() if label)
    name = str(question.name)
    return Choice(
        f"question {name}: {told}",
        lambda values: meaning.get(str(values.get(name))),
        _ids(question),
    )


def _means(option: str, field_a: str, field_b: str) -> Label | None:
    folded = option.casefold().replace(" ", "_")
    if folded in _FIRST or option == field_a:
        return "A"
    if folded in _SECOND or option == field_b:
        return "B"
    return "tie" if folded in _TIE else None


def _ranking(question: Any, field_a: str, field_b: str) -> Choice:
    options = [str(option) for option in question.values]
    if len(options) != 2:
        raise BadInput(f"question {question.name!r} ranks {len(options)} options; two are needed")
    first, second = options
    if (_means(first, field_a, field_b), _means(second, field_a, field_b)) == ("B", "A"):
        first, second = second, first
    name = str(question.name)

    def label(values: Mapping[str, Any]) -> Label | None:
        given = values.get(name)
        ranks = {one.get("value"): one.get("rank") for one in given or () if isinstance(one, dict)}
        return _smaller(ranks.get(first), ranks.get(second))

    return Choice(f"question {name}: {first} is A, {second} is B", label, _ids(question))


def _scale(question: Any) -> Choice:
    values = sorted(int(value) for value in question.values)
    middle, name = (values[0] + values[-1]) / 2, str(question.name)
    says = f"question {name}, a scale from A ({values[0]}) to B ({values[-1]}), tie at {middle:g}"
    return Choice(says, lambda given: _smaller(given.get(name), middle), _ids(question))


def _two_ratings(rg: Any, questions: Sequence[Any]) -> Choice:
    if not all(isinstance(one, rg.RatingQuestion) for one in questions):
        raise BadInput("two questions must both be ratings, the first of A, the second of B")
    a, b = (str(one.name) for one in questions)

    def label(values: Mapping[str, Any]) -> Label | None:
        return _smaller(values.get(b), values.get(a))  # the greater mark is the better response

    return Choice(f"{a} rates A, {b} rates B, the greater wins", label, _ids(*questions))


def _smaller(a: Any, b: Any) -> Label | None:
    """Which of two numbers is smaller."""
    if not isinstance(a, int | float) or not isinstance(b, int | float):
        return None
    return "tie" if a == b else "A" if a < b else "B"
