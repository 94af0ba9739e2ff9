"""`workbench advise`: a few questions, and then a recipe, what it would cost, and why."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.errors import BadInput

if TYPE_CHECKING:
    from workbench.advising.costs import Cost
    from workbench.advising.questions import Question


def advise(
    judge: Annotated[
        str | None, typer.Option(help="Which judge can you afford? none, rating, pairs")
    ] = None,
    attacks: Annotated[
        str | None, typer.Option(help="Is the danger that users make it do harm? yes, no")
    ] = None,
    rules: Annotated[
        str | None, typer.Option(help="Are there explicit rules? none, some, all")
    ] = None,
    simplest: Annotated[str | None, typer.Option(help="The simplest way? yes, no")] = None,
    near_rlhf: Annotated[str | None, typer.Option(help="Near-RLHF quality? yes, no")] = None,
    compute: Annotated[str | None, typer.Option(help="What to train on: small, large")] = None,
    complexity: Annotated[
        str | None, typer.Option(help="How many moving parts can you bear? low, high")
    ] = None,
    checkable: Annotated[
        str | None, typer.Option(help="Can a program check the rules? yes, no")
    ] = None,
    must_hold: Annotated[
        str | None, typer.Option(help="Must they hold, whatever it costs? yes, no")
    ] = None,
    budget: Annotated[
        float | None, typer.Option(min=0.0, help="What calls and people may cost, in USD.")
    ] = None,
    project: Annotated[Path, typer.Option(help="Whose figures the cost is from.")] = Path("."),
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON; what is not answered is an error.")
    ] = False,
) -> None:
    """Say which recipe fits, what it would cost by this project's own figures, and why.

    What is not answered on the command line is asked, if it matters.
    Example: workbench advise --judge pairs --attacks no --rules none --simplest yes
    """
    from workbench.advising.costs import costs_of, total
    from workbench.advising.questions import advise as find
    from workbench.project import Project
    from workbench.running.run import find_recipe

    given = {
        "judge": judge,
        "attacks": attacks,
        "rules": rules,
        "simplest": simplest,
        "near-rlhf": near_rlhf,
        "compute": compute,
        "complexity": complexity,
        "checkable": checkable,
        "must-hold": must_hold,
    }

    def ask(question: "Question") -> str:
        said = given[question.name]
        if said is not None:
            return said
        return _missing(question) if as_json else _asked(question)

    advice = find(ask)
    try:
        opened: Project | None = Project.open(project)
    except BadInput:
        if project != Path("."):
            raise
        opened = None
    _, recipe = find_recipe(advice.recipe, project)
    costs = [] if opened is None else costs_of(opened, recipe)
    whole = total(costs)
    if as_json:
        found = {
            "recipe": advice.recipe,
            "title": recipe.title,
            "why": advice.why,
            "answers": dict(advice.answers),
            "project": None if opened is None else str(opened.dir),
            "total": asdict(whole) if costs else None,
            "steps": [asdict(one) for one in costs],
            "budget": None if budget is None else _budget(whole if costs else None, budget),
        }
        print(json.dumps(found, indent=1, ensure_ascii=False))
        return
    print(f"{advice.recipe}: {recipe.title}")
    print("\n".join(f"  - {line}" for line in advice.why))
    if opened is None:
        print("what it costs is unknown: there is no project here; name one by --project")
    else:
        print(f"what it costs, by the figures of {opened.dir}:")
        print("\n".join(_table(costs, whole)))
    if budget is not None:
        print(_budget(whole if costs else None, budget))
    print(f"next: workbench run --recipe {advice.recipe} --dry-run, or try it: --sandbox --quick")


def _asked(question: "Question") -> str:
    """The answer of a person, asked again until it is one.

    Raises:
        BadInput: There is nobody to ask.
    """
    while True:
        print(question.text)
        for answer, meaning in question.answers.items():
            print(f"  {answer}{f': {meaning}' if meaning else ''}")
        try:
            return question.check(input("> "))
        except EOFError as error:
            raise BadInput(
                f"--{question.name} is not answered; say {' or '.join(question.answers)}"
            ) from error
        except BadInput as error:
            print(error)


def _missing(question: "Question") -> str:
    raise BadInput(f"--{question.name} is not answered; say {' or '.join(question.answers)}")


def _budget(whole: "Cost | None", budget: float) -> str:
    """Whether it is within a budget, as far as is known."""
    if whole is None or whole.usd is None or whole.human_usd is None:
        return f"whether {budget:,.2f} USD suffice is unknown: see what is unknown above"
    cost = whole.usd + whole.human_usd
    if cost <= budget:
        return f"calls and people cost about {cost:,.2f} USD, within {budget:,.2f}"
    return (
        f"calls and people cost about {cost:,.2f} USD, more than {budget:,.2f}: fewer prompts or a "
        "smaller audit.share make it cheaper"
    )


def _table(costs: "list[Cost]", whole: "Cost") -> list[str]:
    rows = [("step", "API calls", "USD", "GPU hours", "human hours", "USD for people")]
    for one in (*costs, whole):
        rows.append(
            (
                one.step,
                _number(one.calls, ",.0f"),
                _number(one.usd, ",.2f"),
                _number(one.machine_hours, ",.2f"),
                _number(one.human_hours, ",.1f"),
                _number(one.human_usd, ",.2f"),
            )
        )
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = []
    for place, row in enumerate(rows):
        if 0 < place < len(rows) - 1 and set(row[1:]) == {"-"}:
            continue  # nobody is asked, and nothing trained
        cells = [f"{row[0]:{widths[0]}}"]
        cells += [f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)]
        about = costs[place - 1].rests_on if 0 < place <= len(costs) else ()
        lines.append("  ".join([" ", *cells, "; ".join(about)]).rstrip())
    return lines


def _number(value: float | None, form: str) -> str:
    if value is None:
        return "unknown"
    if value == 0:
        return "-"
    least = float(f"1e-{form[-2]}")  # the smallest that this form shows
    return f"< {least:g}" if value < least / 2 else format(value, form)
