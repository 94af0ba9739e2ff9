"""`workbench report`: the numbers of a project, for a terminal, a program or a browser."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.options import AsJson, ProjectDir

if TYPE_CHECKING:
    from collections.abc import Mapping

_MIN_WIDTH = 120  # where stdout is no terminal, so that a pipe gets whole lines


def report(
    project: ProjectDir = Path("."),
    html: Annotated[Path | None, typer.Option(help="Also write a self-contained web page.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace that page.")] = False,
    as_json: AsJson = False,
) -> None:
    """Imports, judges, agreement, rounds and certificates, costs and labels saved."""
    from pipelines.errors import BadInput
    from workbench.export.report import project_report
    from workbench.export.report_page import html_page
    from workbench.export.staging import Staging
    from workbench.project import Project

    if html is not None and html.exists() and not force:
        raise BadInput(f"{html}: is already there; --force replaces it")
    found = project_report(Project.open(project))
    if html is not None:
        with Staging(html) as staging:
            staging.write(html.name, html_page(found))
            staging.publish({staging.folder / html.name: html})
    if as_json:
        print(json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False))
    else:
        _print(found)
        if html is not None:
            print(f"wrote {html}")


def _print(found: "Mapping[str, Any]") -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from workbench.export.report_page import sections

    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        width = max(_MIN_WIDTH, console.width)
        console = Console(highlight=False, markup=False, width=width, no_color=True)
    console.print(found["project"], style="bold")
    for section in sections(found):
        console.print(f"\n{section.title}", style="bold")
        for sentence in section.sentences:
            console.print(sentence)
        if section.rows:
            table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
            for name in section.head:
                table.add_column(name, overflow="fold")
            for row in section.rows:
                table.add_row(*row)
            console.print(table)
