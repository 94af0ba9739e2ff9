"""`workbench export`: curated data in a trainer's format, every pair accounted for."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from workbench.cli.options import AsJson, ProjectDir

if TYPE_CHECKING:
    from workbench.export.run import Export
    from workbench.project import Project


def export(
    format: Annotated[
        Literal["trl", "jsonl", "parquet", "hf-folder", "kto", "pairs"],
        typer.Argument(help="trl and kto feed TRL's trainers; pairs can be imported again."),
    ],
    project: ProjectDir = Path("."),
    out: Annotated[
        Path | None, typer.Option(help="The file (hf-folder: the folder) to write.")
    ] = None,
    round: Annotated[
        str | None, typer.Option(help="Only this round's votes; all rounds when absent.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="The AI label: a judge's name, majority or mean.")
    ] = None,
    source: Annotated[
        Literal["auto", "pairs", "labels"],
        typer.Option(
            "--from",
            help="pairs: what `workbench pairs` made; labels: curated here; auto: pairs where "
            "they are up to date and nothing below asks otherwise.",
        ),
    ] = "auto",
    disagreement: Annotated[
        Literal["override", "drop", "soft"] | None,
        typer.Option(help="Where people and the AI disagree; default as in project.toml."),
    ] = None,
    ties: Annotated[
        Literal["drop", "keep", "half"] | None,
        typer.Option(help="keep: as label tie; half: soft label 0.5. Default: project.toml."),
    ] = None,
    identical: Annotated[
        Literal["drop", "keep"] | None,
        typer.Option(help="Pairs of identical responses; trl, kto and hf-folder drop them."),
    ] = None,
    min_confidence: Annotated[
        float | None, typer.Option(help="Least probability of an AI label, 0.5 to 1.")
    ] = None,
    human_only: Annotated[
        bool, typer.Option("--human-only", help="Only pairs that a person labelled.")
    ] = False,
    form: Annotated[
        Literal["auto", "standard", "conversational"],
        typer.Option(help="Texts, or messages; auto: messages where any prompt has them."),
    ] = "auto",
    test_share: Annotated[
        float, typer.Option(help="Share of the prompts held out in a test split.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed of that split.")] = 0,
    margin: Annotated[
        bool,
        typer.Option("--margin", help="Add the column margin, which TRL's RewardTrainer uses."),
    ] = False,
    pseudonyms: Annotated[
        bool, typer.Option("--pseudonyms", help="annotator-1, ... instead of people's names.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count; write nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier export.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write curated data: human labels override the AI's, policies are explicit, losses counted."""
    from dataclasses import replace

    from workbench.cli.progress import count_progress
    from workbench.export.options import ExportOptions, policy_of
    from workbench.export.run import run_export
    from workbench.project import Project

    opened = Project.open(project)
    fmt, policy = policy_of(
        format,
        opened.config.curate,
        disagreement=disagreement,
        ties=ties,
        identical=identical,
        min_confidence=min_confidence,
        human_only=human_only,
    )
    options = ExportOptions(
        fmt=fmt,
        policy=policy,
        out=out,
        round=round,
        label=label,
        form=form,
        test_share=test_share,
        seed=seed,
        margin=margin,
        pseudonyms=pseudonyms,
        dry_run=dry_run,
        force=force,
    )
    own = [
        name
        for name, value in (
            ("--round", round),
            ("--label", label),
            ("--disagreement", disagreement),
            ("--ties", ties),
            ("--identical", identical),
            ("--min-confidence", min_confidence),
            ("--human-only", human_only or None),
            ("--test-share", test_share or None),
        )
        if value is not None
    ]
    if _from_pairs(opened, format, source, own):
        options = replace(options, made=True)
    with count_progress(f"export {format}") as on_pair:
        done = run_export(opened, options, on_pair)
    if as_json:
        print(json.dumps(done.as_dict(), indent=1, ensure_ascii=False))
    else:
        print("\n".join(_lines(done)))


def _from_pairs(opened: "Project", format: str, source: str, own: list[str]) -> bool:
    """Whether the outcome of `workbench pairs` is exported.

    Args:
        opened: The project.
        format: The format's name.
        source: What `--from` says.
        own: Options given that decide what `workbench pairs` has decided already.

    Raises:
        BadInput: The pairs are asked for, and something else contradicts it.
    """
    from pipelines.errors import BadInput
    from workbench.export.from_pairs import stale_pairs
    from workbench.pairs.output import FOLDER

    if source == "pairs":
        if format == "pairs":
            raise BadInput(
                "the format pairs holds every pair with all its labels, and --from pairs is for "
                "those that `workbench pairs` chose; take another format"
            )
        if own:
            raise BadInput(
                f"{own[0]} was decided when `workbench pairs` ran; leave it out, or export with "
                "--from labels"
            )
        return True
    if source == "labels" or format == "pairs" or own:
        return False
    if not (opened.dir / FOLDER / "manifest.json").is_file():
        return False
    why = stale_pairs(opened)
    if why is not None:
        print(
            f"workbench: runs/pairs is out of date ({why}), so labels are curated here; "
            "`workbench pairs` makes it again",
            file=sys.stderr,
        )
    return why is None


def _lines(done: "Export") -> list[str]:
    """What a person reads: the way of the pairs, then the files."""
    counts = done.counts
    lines = [f"{counts.n_pairs:,} pairs, AI label: {done.label or 'none'}"]
    if done.made is not None:
        lines.append("as `workbench pairs` made them: its labels, weights and splits")
    for step in counts.steps:
        why = ", ".join(f"{n:,} {reason}" for reason, n in step.dropped.items())
        gone = f"-{step.n_in - step.n_out:,}" if why else "0"
        lines.append(f"  {step.name:20} {gone:>9}  {step.policy}{f': {why}' if why else ''}")
        lines += [f"  {'':20} {n:>9,}  ({what})" for what, n in step.notes.items() if n]
    kept = ", ".join(f"{n:,} {name}" for name, n in counts.kept_by_source.items())
    lines.append(f"  {'kept':20} {counts.n_kept:>9,}  {kept}")
    if done.n_strays:
        lines.append(f"  {'not in the store':20} {done.n_strays:>9,}  audited pairs, left out")
    if not done.files:
        return [*lines, "dry run: nothing written"]
    rows = ", ".join(f"{n:,} {split}" for split, n in done.rows.items())
    return [*lines, f"rows: {rows}", *(f"wrote {path}" for path in done.files)]
