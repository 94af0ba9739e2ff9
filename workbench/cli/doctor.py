"""`workbench doctor`: what a file supports, or what this machine can do, and what is missing."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from workbench.cli.options import AsJson

if TYPE_CHECKING:
    from workbench.cli.diagnosis import Check


def doctor(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="A file of preference pairs.")
    ] = None,
    as_json: AsJson = False,
    format: Annotated[
        Literal["pairs", "trl", "hh", "ultrafeedback", "wins"] | None,
        typer.Option(help="The file's format; detected when absent."),
    ] = None,
) -> None:
    """Say what FILE supports and the next command; without FILE, what this machine can do."""
    from workbench.cli.diagnosis import check_machine, check_project

    if file is not None:
        _diagnose_file(file, format, as_json)
        return
    folder = Path.cwd()
    project = check_project(folder)
    checks = check_machine(folder) + project
    if as_json:
        print(json.dumps({"checks": _as_dicts(checks)}, indent=1, ensure_ascii=False))
    else:
        _print_checks(checks, "ok", "missing")
    for check in project:
        if not check.ok:  # a run file that is wrong is bad input, a silent database a service
            raise typer.Exit(3 if check.what == "database" else 2)


def _diagnose_file(file: Path, format: str | None, as_json: bool) -> None:
    from workbench.cli.diagnosis import TextFeatures, check_file, next_command
    from workbench.cli.reading import read_annotations

    features = TextFeatures()
    content = read_annotations(file, format, visit=features.add)
    annotations = content.annotations
    checks = check_file(annotations, features if features.n_pairs else None)
    following = next_command(file, annotations)
    if as_json:
        found = {
            "file": str(file),
            "format": content.format,
            "n_pairs": annotations.n_pairs,
            "n_rejected": content.n_rejected,
            "n_duplicate": annotations.n_duplicate,
            "n_identical": annotations.n_identical,
            "n_empty": annotations.n_empty,
            "checks": _as_dicts(checks),
            "next": following,
        }
        print(json.dumps(found, indent=1, ensure_ascii=False))
        return
    print(
        f"{file} ({content.format}): {annotations.n_pairs:,} pairs, "
        f"{annotations.n_duplicate:,} repeated, {annotations.n_identical:,} with identical "
        f"responses, {annotations.n_empty:,} with an empty response."
    )
    if content.rejected:
        print(content.rejected)
    _print_checks(checks, "yes", "no")
    print(f"next: {following}")


def _print_checks(checks: "list[Check]", good: str, bad: str) -> None:
    width = max(len(check.what) for check in checks)
    mark = max(len(good), len(bad))
    for check in checks:
        print(f"  {good if check.ok else bad:{mark}}  {check.what:{width}}  {check.detail}")


def _as_dicts(checks: "list[Check]") -> list[dict[str, str | bool]]:
    return [{"what": check.what, "ok": check.ok, "detail": check.detail} for check in checks]
