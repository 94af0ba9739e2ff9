"""`workbench constitution`: check a file of principles, compare two versions, list shipped ones."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.options import AsJson

if TYPE_CHECKING:
    from pipelines.constitution.check import ConstitutionDiff, Problem
    from pipelines.constitution.records import Constitution

app = typer.Typer(
    help="Check a constitution, compare two versions, list those that ship.",
    no_args_is_help=True,
)

File = Annotated[
    Path, typer.Argument(metavar="FILE", help="constitution.toml, or the name of a shipped one.")
]

_BAD = 2


@app.command("check")
def check(file: File = Path("constitution.toml"), as_json: AsJson = False) -> None:
    """Find duplicates, missing fields and contradictory weights: one line each."""
    from pipelines.constitution.check import check_constitution

    path = _found(file)
    constitution, problems = check_constitution(path)
    errors = [one for one in problems if one.kind == "error"]
    if as_json:
        print(json.dumps(_checked(path, constitution, problems), indent=1, ensure_ascii=False))
    else:
        for one in problems:
            print(f"{path}: {'' if one.kind == 'error' else 'note: '}{one.message}")
        if constitution is not None and not errors:
            print(
                f"{path}: ok, {len(constitution.principles)} principles, version "
                f"{constitution.hash()}"
            )
    if errors:
        raise typer.Exit(_BAD)


@app.command("diff")
def diff(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="The version before.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The version after.")],
    as_json: AsJson = False,
) -> None:
    """Show what changed, word by word: [-taken out-] and {+put in+}."""
    from dataclasses import asdict

    from pipelines.constitution.check import diff_constitutions
    from pipelines.constitution.records import load_constitution

    found = diff_constitutions(load_constitution(_found(old)), load_constitution(_found(new)))
    if as_json:
        body = asdict(found)
        for key in ("added", "removed"):
            body[key] = [one.model_dump(mode="json") for one in getattr(found, key)]
        body["changed"] = {id: [asdict(one) for one in fields] for id, fields in found.changed}
        print(json.dumps(body, indent=1, ensure_ascii=False))
    else:
        print("\n".join(_diff_lines(found)))


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the constitutions that ship with the program."""
    from pipelines.constitution.records import load_constitution

    shipped = [(path, load_constitution(path)) for path in _shipped()]
    if as_json:
        rows = [
            {
                "name": path.stem,
                "title": one.name,
                "language": one.language,
                "principles": [principle.id for principle in one.principles],
                "hash": one.hash(),
                "file": str(path),
            }
            for path, one in shipped
        ]
        print(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    for path, one in shipped:
        print(f"{path.stem} ({one.language}): {one.name}, version {one.hash()[:12]}")
        print(f"  {one.description}")
        print(f"  {', '.join(principle.id for principle in one.principles)}")


def _shipped() -> list[Path]:
    from workbench.data_files import data_dir

    return sorted((data_dir() / "constitutions").glob("*.toml"))


def _found(file: Path) -> Path:
    """A file, or the shipped constitution of that name."""
    if file.exists() or file.parent != Path("."):
        return file
    return next((path for path in _shipped() if str(file) in (path.stem, path.name)), file)


def _checked(
    path: Path, constitution: "Constitution | None", problems: list["Problem"]
) -> dict[str, Any]:
    return {
        "file": str(path),
        "ok": all(one.kind != "error" for one in problems),
        "hash": None if constitution is None else constitution.hash(),
        "n_principles": None if constitution is None else len(constitution.principles),
        "errors": [one.message for one in problems if one.kind == "error"],
        "notes": [one.message for one in problems if one.kind == "note"],
    }


def _diff_lines(found: "ConstitutionDiff") -> list[str]:
    from pipelines.constitution.words import marked

    lines = [f"old {found.old_hash}", f"new {found.new_hash}"]
    if found.old_hash == found.new_hash:
        return [*lines, "the same"]
    lines += [f"{one.field}: {marked(list(one.pieces))}" for one in found.about]
    lines += [f"removed {one.id} (weight {one.weight:g}): {one.name}" for one in found.removed]
    lines += [f"added {one.id} (weight {one.weight:g}): {one.name}" for one in found.added]
    for id, fields in found.changed:
        lines.append(f"changed {id}")
        lines += [f"  {one.field}: {marked(list(one.pieces))}" for one in fields]
    if found.reordered:
        lines.append("the principles stand in another order")
    return lines
