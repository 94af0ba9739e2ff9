"""One export from start to end: gather, curate, write, say what became of every pair."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.errors import BadInput
from pipelines.preferences.curate import KEPT, Counts, Curated, curate, tallies
from workbench.export.card import data_card
from workbench.export.columns import columns_of
from workbench.export.evidence import facts_of
from workbench.export.from_pairs import as_curated, facts_of_made, made_pairs
from workbench.export.material import Material, Outcomes, gather
from workbench.export.merge import merged
from workbench.export.options import ExportOptions
from workbench.export.places import TEST, TRAIN, places
from workbench.export.rows import RowMaker, in_test
from workbench.export.staging import Staging
from workbench.export.texts import iter_texts, prompt_forms
from workbench.export.write import OnPair, SplitRows, staged_files, write_rows
from workbench.pairs.made import MadePairs
from workbench.project import Project


@dataclass(frozen=True)
class Export:
    """What an export did, or under `dry_run` would do; then no rows are counted."""

    format: str
    label: str | None  # the AI label: a judge, a rule; None without AI verdicts
    rounds: tuple[str, ...]
    conversational: bool
    counts: Counts
    n_votes: int
    vote_origins: dict[str, int]
    n_strays: int  # audited pairs that the store does not hold
    made: dict[str, Any] | None  # of `workbench pairs`, where its outcome is what was exported
    rows: dict[str, int]  # by split
    files: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)


def run_export(project: Project, options: ExportOptions, on_pair: OnPair | None = None) -> Export:
    """Export a project's pairs.

    Args:
        project: The project.
        options: What to export.
        on_pair: Called with the number of pairs done and of all, for a progress bar.

    Raises:
        BadInput: The project, the options or the target cannot be used, or nothing would be left.
    """
    fmt = options.fmt
    made = made_pairs(project) if options.made else None
    if made is not None:
        options = replace(options, round=made.round, label=made.judge)
        splits = made.splits
    else:
        splits = (TRAIN, TEST) if options.test_share > 0.0 else (TRAIN,)
    target = places(project.dir / "exports", fmt, options.out, splits)
    if not options.dry_run:
        target.refuse_to_overwrite(options.force)
    material = gather(project, options.round, options.label)
    curated = curate(material.evidence, options.policy)
    if made is not None:
        curated = as_curated(project, made, material, curated)
    everything = fmt.shape == "pairs"
    counts = _all_kept(curated) if everything else curated.counts
    if not counts.n_kept:
        raise BadInput(f"no pair is left to export: {_reasons(counts)}")
    wanted = np.ones(counts.n_pairs, np.bool_) if everything else curated.fate == KEPT
    conversational = not everything and _conversational(project, options, wanted)
    export = Export(
        format=fmt.name,
        label=material.label,
        rounds=material.labels.rounds,
        conversational=conversational,
        counts=counts,
        n_votes=material.labels.n_votes,
        vote_origins=material.labels.origins(),
        n_strays=material.n_strays,
        made=None if made is None else facts_of_made(made),
        rows={},
        files=(),
    )
    if options.dry_run:
        return export
    if everything:
        rows = _merged_rows(project, material, options)
    else:
        names = tuple(column.name for column in columns_of(fmt, options.margin))
        aliases = material.aliases() if options.pseudonyms else None
        maker = RowMaker(fmt, conversational, names, material.label, aliases)
        outcomes = Outcomes(material, curated)
        rows = _curated_rows(project, outcomes, maker, wanted, options, made)
    with Staging(target.root) as staging:
        n_rows = write_rows(
            rows, target, staging.folder, options, conversational, int(wanted.sum()), on_pair
        )
        done = replace(export, rows=n_rows)
        facts = facts_of(project, options, material, done, target)
        moves = staged_files(target, staging.folder)
        staging.write(target.audit.name, json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
        staging.write(target.card.name, data_card(facts))
        staging.publish(moves)
    return replace(done, files=tuple(_files(moves.values())))


def _files(targets: Iterable[Path]) -> Iterator[str]:
    """Every file that was written; the data first, the card last."""
    for target in targets:
        if target.is_dir():
            yield from _files(sorted(target.iterdir()))
        else:
            yield str(target)


def _curated_rows(
    project: Project,
    outcomes: Outcomes,
    maker: RowMaker,
    wanted: npt.NDArray[np.bool_],
    options: ExportOptions,
    made: MadePairs | None,
) -> Iterator[SplitRows]:
    for row, pair in iter_texts(project.store, wanted):
        if made is not None:
            split = str(made.split[row])
        else:
            split = TEST if in_test(pair.prompt, options.test_share, options.seed) else TRAIN
        yield split, maker.rows(pair, outcomes.of(row))


def _merged_rows(
    project: Project, material: Material, options: ExportOptions
) -> Iterator[SplitRows]:
    aliases = material.aliases() if options.pseudonyms else None
    for row, pair in enumerate(project.store.iter_pairs()):
        whole = merged(pair, material.drawn.get(row), aliases).model_dump(mode="json")
        held_out = in_test(whole["prompt"], options.test_share, options.seed)
        yield TEST if held_out else TRAIN, [whole]


def _conversational(
    project: Project, options: ExportOptions, wanted: npt.NDArray[np.bool_]
) -> bool:
    """Whether the file's prompts are messages: one form for all, since a column has one type."""
    if options.form == "conversational":
        return True
    forms = prompt_forms(project.store, wanted)
    if options.form == "auto":
        return forms.n_single + forms.n_conversations > 0
    if forms.n_conversations:
        raise BadInput(
            f"{forms.n_conversations} of the prompts are conversations of several messages, which "
            "--form standard cannot hold; use --form conversational"
        )
    return False


def _all_kept(curated: Curated) -> Counts:
    """The counts of a pairs file: nothing leaves it."""
    n = len(curated.fate)
    return Counts(n, n, (), *tallies(curated.source, curated.label))


def _reasons(counts: Counts) -> str:
    dropped = [f"{n} {why}" for step in counts.steps for why, n in step.dropped.items()]
    return ", ".join(dropped) or "there are no pairs"
