"""`workbench argilla push`, `pull` and `import`: a round to an Argilla server, and answers back."""

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.options import AsJson, ProjectDir, RoundArgument

if TYPE_CHECKING:
    from pipelines.records import Label
    from workbench.annotate.import_ import Imported
    from workbench.annotate.pull import Pulled
    from workbench.annotate.push import Pushed

UrlOption = Annotated[
    str | None,
    typer.Option(help="The server; else ARGILLA_API_URL, else the one that `up` started."),
]


def register(app: typer.Typer) -> None:
    """Add the commands to the group."""
    app.command("push")(push)
    app.command("pull")(pull)
    app.command("import")(import_)


def push(
    round_name: RoundArgument = None,
    project: ProjectDir = Path("."),
    url: UrlOption = None,
    workspace: Annotated[
        str | None, typer.Option(help="The workspace there, made when missing.")
    ] = None,
    annotator: Annotated[
        list[str] | None,
        typer.Option(help="Let this person in, with a new account if need be; may be repeated."),
    ] = None,
    first: Annotated[
        int | None, typer.Option(min=1, help="Only so many pairs from the start of the queue.")
    ] = None,
    assist: Annotated[
        bool,
        typer.Option("--assist", help="Show the AI's labels; the round can then not be certified."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring the pairs of an open round that wait for labels to Argilla, blind.

    Pushing again adds what is missing: pairs of an extension, or deleted by hand.
    """
    from workbench.annotate.push import push as push_round
    from workbench.cli.progress import count_progress
    from workbench.project import Project

    with count_progress("pairs") as on_count:
        pushed = push_round(
            Project.open(project),
            round_name,
            url=url,
            workspace=workspace,
            annotators=annotator or (),
            first=first,
            assist=assist,
            on_count=on_count,
        )
    if as_json:
        print(json.dumps(asdict(pushed), indent=1))
    else:
        print("\n".join(_pushed_lines(pushed, project)))


def _pushed_lines(pushed: "Pushed", project: Path) -> list[str]:
    n_new = sum(one.n_new for one in pushed.datasets)
    lines = [
        f"round {pushed.round_name}: {n_new:,} pairs sent to {pushed.url}, "
        f"workspace {pushed.workspace}"
    ]
    for one in pushed.datasets:
        people = "one person" if one.wanted == 1 else f"{one.wanted} people"
        there = f", {one.n_there:,} were there" if one.n_there else ""
        lines.append(f"  dataset {one.name}: {one.n_new:,} new{there}; {people} a pair")
    if pushed.n_answered:
        lines.append(f"  {pushed.n_answered:,} pairs have all their labels already")
    if pushed.n_later:
        lines.append(f"  {pushed.n_later:,} pairs wait behind --first")
    lines += [f"  not sent: {n:,} with {why}" for why, n in pushed.not_shown.items()]
    for member in pushed.members:
        if member.password is None:
            lines.append(f"  {member.name} logs in as {member.username}")
        else:
            lines.append(
                f"  {member.name} logs in as {member.username}, password {member.password} "
                "(shown this once)"
            )
    if pushed.assist:
        lines.append("  the AI's labels are shown there: this round cannot be certified any more")
    where = "" if project == Path(".") else f" --project {project}"
    return [*lines, f"next: workbench argilla pull{where}, or pull --watch{where}"]


def pull(
    round_name: RoundArgument = None,
    project: ProjectDir = Path("."),
    url: UrlOption = None,
    watching: Annotated[
        bool, typer.Option("--watch", help="Again and again, until all is answered; Ctrl+C ends.")
    ] = False,
    every: Annotated[
        float, typer.Option(min=1.0, help="With --watch: seconds between two looks.")
    ] = 30.0,
    as_json: AsJson = False,
) -> None:
    """Read what people answered in Argilla into the round. Again changes nothing, loses nothing."""
    from workbench.annotate.pull import pull as pull_round
    from workbench.annotate.pull import watch
    from workbench.project import Project

    opened = Project.open(project)
    if not watching:
        pulled = pull_round(opened, round_name, url=url)
        if as_json:
            print(json.dumps(asdict(pulled), indent=1))
        else:
            print("\n".join(_pulled_lines(pulled, project)))
        return
    try:
        looks = watch(
            opened,
            round_name,
            url=url,
            every_s=every,
            on_trouble=lambda line: print(f"{_clock()} {line}", file=sys.stderr),
        )
        first = True
        for pulled in looks:
            if as_json:
                print(json.dumps(asdict(pulled)), flush=True)
            elif first or pulled.n_new or pulled.complete:
                print(f"{_clock()} {_state(pulled)}", flush=True)
            first = False
    except KeyboardInterrupt:
        print("stopped; the same command goes on", file=sys.stderr)


def _clock() -> str:
    return time.strftime("%H:%M:%S")


def _state(pulled: "Pulled") -> str:
    new = f"{pulled.n_new:,} new; " if pulled.n_new else ""
    closed = ", closed" if pulled.closed else ""
    return (
        f"round {pulled.round_name}{closed}: {new}{pulled.answered:,} of {pulled.asked:,} labels, "
        f"{pulled.n_read:,} pairs read in draw order"
    )


_MEANINGS = {
    "n_counted": "are first labels: the certificate reads them",
    "n_overlap": "are second labels of overlap pairs",
    "n_surplus": "more are kept beside them",
    "n_skips": "pass a pair on",
    "n_edited": "were changed since; the earlier version is kept",
    "n_taken_back": "were taken back",
    "n_aside": "are of people who labelled the pair elsewhere: kept aside",
    "n_late": "came after the round was closed: kept, and do not count",
    "n_drafts": "are drafts: left there",
    "n_known": "were read before",
}


def _pulled_lines(pulled: "Pulled", project: Path) -> list[str]:
    lines = [_state(pulled)]
    lines += [f"  {n:,} {what}" for name, what in _MEANINGS.items() if (n := pulled.counts[name])]
    lines += [f"  {n:,} answers rejected: {why}" for why, n in pulled.rejected.items()]
    if pulled.n_foreign:
        lines.append(f"  {pulled.n_foreign:,} records there are not of this round: passed over")
    lines += [
        f"  dataset {name} is not on this server any more; `workbench argilla push` makes it anew"
        for name in pulled.gone
    ]
    where = "" if project == Path(".") else f" --project {project}"
    return [*lines, f"next: workbench audit status{where}"]


def import_(
    dataset: Annotated[str, typer.Argument(help="The dataset's name.")],
    project: ProjectDir = Path("."),
    url: UrlOption = None,
    workspace: Annotated[
        str | None, typer.Option(help="Its workspace, where several have such a dataset.")
    ] = None,
    prompt: Annotated[
        str | None, typer.Option(help="The field of the prompt; found by name when absent.")
    ] = None,
    response: Annotated[
        list[str] | None,
        typer.Option(help="The field of response A, and again for B; found by name when absent."),
    ] = None,
    question: Annotated[
        list[str] | None,
        typer.Option(help="A label, ranking or scale question; or two: a rating of A, one of B."),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(help="What an option means: OPTION=A, =B or =tie; may be repeated."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Take a dataset that people labelled in Argilla: its pairs, their labels, its suggestions."""
    from workbench.annotate.import_ import import_dataset
    from workbench.project import Project

    done = import_dataset(
        Project.open(project),
        dataset,
        url=url,
        workspace=workspace,
        prompt=prompt,
        responses=response or (),
        questions=question or (),
        labels=_meanings(label or []),
    )
    if as_json:
        print(json.dumps(_imported_dict(done), indent=1))
    else:
        print("\n".join(_imported_lines(done, project)))


def _meanings(given: list[str]) -> "dict[str, Label]":
    from pipelines.errors import BadInput
    from pipelines.records import LABELS

    found: dict[str, Label] = {}
    for one in given:
        option, _, means = one.rpartition("=")
        known = next((label for label in LABELS if label == means), None)
        if not option or known is None:
            raise BadInput(f"--label {one!r}: write OPTION=A, OPTION=B or OPTION=tie")
        found[option] = known
    return found


def _imported_dict(done: "Imported") -> dict[str, object]:
    return {
        "dataset": done.dataset,
        "file": str(done.file),
        "fields": asdict(done.fields),
        "question": done.says,
        "n_records": done.n_records,
        "n_labels": done.n_labels,
        "n_suggestions": done.n_suggestions,
        "unread": done.unread,
        "counts": done.summary.counts.model_dump(),
        "n_pairs": done.summary.n_pairs,
    }


def _imported_lines(done: "Imported", project: Path) -> list[str]:
    counts = done.summary.counts
    lines = [
        f"{done.dataset}: {done.n_records:,} records, {done.n_labels:,} labels of people, "
        f"{done.n_suggestions:,} suggestions as verdicts",
        f"  prompt {done.fields.prompt}, A {done.fields.a}, B {done.fields.b}; {done.says}",
        f"  {counts.taken:,} pairs taken, {counts.known:,} known",
    ]
    if done.summary.earlier:
        lines[-1] = "  nothing new since the last import"
    lines += [f"  not taken: {n:,} {why}" for why, n in done.unread.items()]
    for reason, n in counts.rejected.items():
        lines.append(f"  rejected: {n:,} {reason}")
        if reason == "duplicate id":
            lines.append(
                "    pairs that are here already with other labels; for an open round that drew "
                f"them: workbench import --labels {done.file}"
            )
    where = "" if project == Path(".") else f" --project {project}"
    return [*lines, f"next: workbench audit draw{where}"]
