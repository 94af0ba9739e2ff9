"""`workbench agreement`: how far AI judges agree with people, from any file of preferences."""

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from workbench.cli.options import AsJson


def agreement(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A file of preference pairs, or a project.")
    ],
    as_json: AsJson = False,
    unparsed: Annotated[
        Literal["drop", "wrong", "tie"],
        typer.Option(help="Verdicts that failed: left out, counted as wrong, or as ties."),
    ] = "drop",
    reference: Annotated[
        str, typer.Option(help="The human side: majority, or one annotator's name.")
    ] = "majority",
    ties: Annotated[
        Literal["strict", "half", "drop"],
        typer.Option(help="A tie is a third label, worth half against A or B, or left out."),
    ] = "strict",
    confidence: Annotated[float, typer.Option(help="Level of the intervals.")] = 0.95,
    format: Annotated[
        Literal["pairs", "trl", "hh", "ultrafeedback", "wins"] | None,
        typer.Option(help="The file's format; detected when absent."),
    ] = None,
) -> None:
    """AI-human and human-human agreement of a file, every figure with its interval."""
    from pipelines.agreement.intervals import check_confidence
    from pipelines.agreement.report import ReportOptions, agreement_report
    from pipelines.preferences.combine import combine_judge
    from workbench.cli.reading import read_annotations

    check_confidence(confidence)
    content = read_annotations(file, format)
    annotations = content.annotations
    options = ReportOptions(unparsed, reference, ties, confidence)
    combined = {judge: combine_judge(annotations, judge) for judge in annotations.judges}
    report = agreement_report(
        annotations, {judge: labels.label for judge, labels in combined.items()}, options
    )
    if as_json:
        if content.rejected:
            print(content.rejected, file=sys.stderr)
        print(json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False))
        return

    from pipelines.agreement.report import human_agreement
    from workbench.cli.agreement_table import print_report

    print_report(
        str(file),
        content,
        report,
        human_agreement(annotations, options),
        {judge: labels.n_abstained for judge, labels in combined.items()},
        options,
    )
