"""`workbench import`: files of preferences into the project."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from workbench.cli.options import AsJson, ProjectDir

if TYPE_CHECKING:
    from pipelines.importing import ImportSummary
    from workbench.project import Project

_CHOOSER_UNSAID = ("trl", "hh", "wins")  # formats that do not say who chose
_FLAGS = {
    "duplicate": "repeated (same prompt and responses as an earlier row)",
    "identical": "with two identical responses",
    "empty": "with an empty response",
}


def import_(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE...", help="Files of preference pairs.")
    ] = None,
    project: ProjectDir = Path("."),
    format: Annotated[
        Literal["pairs", "trl", "hh", "ultrafeedback", "wins"] | None,
        typer.Option(help="The files' format; detected when absent."),
    ] = None,
    labels_are: Annotated[
        Literal["human", "ai"] | None,
        typer.Option(help="Who chose, where the file does not say (trl: ai; hh, wins: human)."),
    ] = None,
    scores: Annotated[
        Literal["all", "best"],
        typer.Option(help="N scored completions: all pairs, or the best against each other one."),
    ] = "all",
    strict: Annotated[bool, typer.Option("--strict", help="One bad row refuses the file.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read and count; change nothing.")
    ] = False,
    labels: Annotated[
        Path | None,
        typer.Option(help="A file of people's labels (pair_id, annotator, label) for a round."),
    ] = None,
    round_name: Annotated[
        str | None, typer.Option("--round", help="The round of --labels; the newest open one.")
    ] = None,
    annotator: Annotated[
        list[str] | None, typer.Option(help="With --labels: only this person's; may be repeated.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Take pairs, or people's labels, into the project. The same file again changes nothing."""
    from pipelines.errors import BadInput
    from pipelines.formats.options import ReadOptions
    from pipelines.importing import import_file
    from workbench.cli.progress import byte_progress
    from workbench.project import Project

    opened = Project.open(project)
    if labels is not None:
        if files:
            raise BadInput("pairs and labels in one command; import the pairs first")
        _import_labels(opened, labels, round_name, annotator, as_json)
        return
    if not files:
        raise BadInput("no file to import; name one: workbench import FILE")
    options = ReadOptions(labels_are=labels_are, scores=scores)
    summaries = []
    for file in files:
        with byte_progress(file) as on_bytes:
            summary = import_file(
                opened.store,
                file,
                opened.config,
                format=format,
                options=options,
                strict=strict,
                dry_run=dry_run,
                on_bytes=on_bytes,
            )
        summaries.append(summary)
        if not as_json:
            print("\n".join(_lines(summary, said_who=labels_are is not None)))
    if as_json:
        print(json.dumps([_as_dict(summary) for summary in summaries], indent=1))
    else:
        print(_next_step(opened, project, summaries[-1]))


def _import_labels(
    project: "Project",
    path: Path,
    round_name: str | None,
    annotators: list[str] | None,
    as_json: bool,
) -> None:
    """People's labels into a round."""
    from pipelines.intake import N_REJECTS_SHOWN, RejectsFile
    from workbench.audit.label_import import import_labels

    summary = import_labels(project, path, round_name, annotators=annotators)
    rejects = RejectsFile(project.dir / "runs" / "labels", path.name)
    for reject in summary.rejects:
        rejects.write(reject)
    rejects_path = rejects.keep("refused")
    if as_json:
        print(json.dumps({"round": summary.round_name, **summary.counts()}, indent=1))
        return
    print(f"{path.name}: {summary.n_new:,} labels taken into round {summary.round_name}")
    for meaning, number in (
        ("are first labels: the certificate reads them", summary.n_counted),
        ("are second labels of overlap pairs", summary.n_overlap),
        ("more are kept beside them", summary.n_surplus),
        ("were there already", summary.n_known),
        ("differ from that person's earlier label, which stays", summary.n_differing),
        ("are of pairs that the round did not draw", summary.n_not_drawn),
        ("are of pairs that the project does not have", summary.n_unknown),
        ("are of other people", summary.n_other_people),
    ):
        if number:
            print(f"  {number:,} {meaning}")
    if summary.rejects:
        print(f"  {len(summary.rejects):,} rows rejected: {_listed(summary.n_rejected)}")
        for reject in summary.rejects[:N_REJECTS_SHOWN]:
            print(f"    line {reject.line}: {reject.detail}")
        print(f"    all of them: {rejects_path}")
    print(f"next: workbench audit status --project {project.dir}")


def _lines(summary: "ImportSummary", said_who: bool) -> list[str]:
    """What a person reads about one file."""
    from workbench.cli.reading import counted

    counts = summary.counts
    head = f"{summary.file} ({summary.format}): "
    if summary.earlier:
        return [head + f"already imported ({counts.taken:,} pairs); nothing changed"]
    verb = "taken" if summary.committed or not counts.taken else "would be taken"
    lines = [head + f"{counted(counts.taken, 'pair')} {verb} in {summary.seconds:.1f} s"]
    if counts.known:
        lines.append(f"  known     {counts.known:,} already in the project, unchanged")
    if counts.repeated:
        lines.append(f"  repeated  {counts.repeated:,} the same row under the same id; taken once")
    for flag, meaning in _FLAGS.items():
        if number := getattr(counts, flag):
            lines.append(f"  flagged   {number:,} {meaning}; kept")
    if counts.verdicts:
        lines.append(f"  verdicts  {_listed(counts.verdicts)}")
    if counts.labels:
        lines.append(f"  labels    {_listed(counts.labels)}")
    if summary.format in _CHOOSER_UNSAID and not said_who and counts.taken:
        who = "people" if counts.labels else "an AI judge"
        other = "ai" if counts.labels else "human"
        lines.append(
            f"  note      the file does not say who chose: taken as {who}; "
            f"if that is wrong, --labels-are {other} into a new project"
        )
    if counts.rejected:
        n_bad = sum(counts.rejected.values())
        by_reason = ", ".join(f"{number:,} {reason}" for reason, number in counts.rejected.items())
        lines.append(f"  rejected  {counted(n_bad, 'row')}: {by_reason}")
        lines += [f"            line {bad.line}: {bad.detail}" for bad in summary.first_rejects]
        if summary.rejects_path is not None:
            lines.append(f"            all of them: {summary.rejects_path}")
    return lines


def _listed(numbers: dict[str, int]) -> str:
    return ", ".join(f"{number:,} {name}" for name, number in numbers.items())


def _as_dict(summary: "ImportSummary") -> dict[str, Any]:
    return {
        "file": summary.file,
        "format": summary.format,
        "committed": summary.committed,
        "earlier": summary.earlier,
        "counts": summary.counts.model_dump(),
        "rejects": str(summary.rejects_path) if summary.rejects_path else None,
        "seconds": round(summary.seconds, 3),
        "n_pairs": summary.n_pairs,
    }


def _next_step(project: "Project", given: Path, last: "ImportSummary") -> str:
    """The command that makes sense now."""
    where = "" if given == Path(".") else f" --project {given}"
    head = f"project   {last.n_pairs:,} pairs; next: "
    if last.n_pairs == 0:
        return head + f"workbench import FILE{where}"
    manifest = project.store.manifest()
    if manifest.n_verdicts == 0:
        return (
            f"project   {last.n_pairs:,} pairs, no AI verdicts yet: nothing to audit before "
            f"workbench judge{where}"
        )
    if any(run.counts.labels for run in manifest.imports):
        return head + f"workbench agreement {given}, or workbench audit draw{where}"
    return head + f"workbench audit draw{where}"
