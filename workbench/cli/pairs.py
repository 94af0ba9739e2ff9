"""`workbench pairs`: from judgments to preference pairs, every step counted."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.options import AsJson, ProjectDir

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workbench.pairs.chain import PairSet


def pairs(
    project: ProjectDir = Path("."),
    label: Annotated[
        str | None, typer.Option(help="The AI label: a judge's name, majority or mean.")
    ] = None,
    round: Annotated[
        str | None, typer.Option(help="Only this round's votes; all rounds when absent.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count; write nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Correct, filter, weigh and split the pairs, as the section pairs of project.toml says."""
    from workbench.cli.progress import count_progress
    from workbench.pairs.chain import make_pairs
    from workbench.pairs.output import write_pairs
    from workbench.project import Project

    opened = Project.open(project)
    options = opened.config.pairs
    if label is not None:
        options = options.model_copy(update={"label": label})
    with count_progress("pairs") as on_pair:
        made = make_pairs(opened, options, round_name=round, store=not dry_run, on_pair=on_pair)
    files = [] if dry_run else [str(path) for path in write_pairs(opened, made, options)]
    if as_json:
        facts = {**made.as_dict(), "files": files}
        print(json.dumps(facts, indent=1, ensure_ascii=False, allow_nan=False))
        return
    print("\n".join(_lines(made)))
    for path in files:
        print(f"wrote {path}")
    if dry_run:
        print("dry run: nothing written")


def _lines(made: "PairSet") -> "Iterator[str]":
    learned, counts = made.learned, made.counts
    yield f"{counts.n_pairs:,} pairs, AI label: {made.label or 'none'}"
    for what in (learned.correction, learned.recalibration):
        if what is not None:
            name = "correction" if what is learned.correction else "recalibration"
            yield f"  {name}: {what.why}"
    if learned.correction is not None:
        gain = learned.correction.over_no_judge.accuracy_gain
        alone = learned.correction.over_no_judge.accuracy_before.estimate
        yield (
            f"  without any judge, from the texts alone: accuracy {alone:.3f}; the correction is "
            f"{gain.estimate:+.3f} from it ({gain.low:+.3f} to {gain.high:+.3f}, n = {gain.n})"
        )
    if learned.stored_as:
        yield f'  new labels: judge "{learned.stored_as}", not certified by rounds of the old one'
    for note in learned.notes:
        yield f"  note: {note}"
    for step in counts.steps:
        why = ", ".join(f"{n:,} {reason}" for reason, n in step.dropped.items())
        gone = f"-{step.n_in - step.n_out:,}" if why else "0"
        yield f"  {step.name:24} {gone:>9}  {step.policy}{f': {why}' if why else ''}"
        for what_else, n in step.notes.items():
            if n:
                yield f"  {'':24} {n:>9,}  ({what_else})"
    kept = ", ".join(f"{n:,} {name}" for name, n in counts.kept_by_source.items())
    yield f"  {'kept':24} {counts.n_kept:>9,}  {kept}"
    yield "splits: " + ", ".join(f"{n:,} {name}" for name, n in made.splits.items())
