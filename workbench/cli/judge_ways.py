"""`workbench judge rule` and `route`: a judge under the constitution, and one by kind of prompt."""

import math
from pathlib import Path
from typing import Annotated, Literal

import typer

from workbench.cli.judge_checks import open_judged, print_json
from workbench.cli.options import AsJson, ProjectDir

DryRun = Annotated[bool, typer.Option("--dry-run", help="Store nothing.")]


def register(app: typer.Typer) -> None:
    """Add these commands to a group."""
    app.command("rule")(rule_command)
    app.command("route")(route_command)


def rule_command(
    judge: Annotated[str, typer.Argument(help="The judge, or majority or mean.")],
    project: ProjectDir = Path("."),
    checks: Annotated[
        str | None, typer.Option(help="The judge of mode check; the only one by default.")
    ] = None,
    both: Annotated[
        Literal["judge", "drop"] | None,
        typer.Option(help="When both violate: the judge decides, flagged; or drop."),
    ] = None,
    both_severe: Annotated[
        Literal["judge", "drop"] | None, typer.Option(help="The same for severe on both sides.")
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """The constitution as a hard rule over a judge, stored as the judge rule:JUDGE."""
    from pipelines.errors import BadInput
    from pipelines.judge.derived import make_record, write_record
    from pipelines.judge.ruled import apply_rule, known_violations, ruled_judgments
    from pipelines.preferences.combine import combine, is_derived
    from workbench.pairs.upheld import checker_of, rule_options

    opened, annotations = open_judged(project)
    section = opened.config.pairs
    given = {"checks": checks, "both_violate": both, "both_severe": both_severe}
    section = section.model_copy(update={key: to for key, to in given.items() if to is not None})
    combined = combine(annotations, judge)
    checker = checker_of(opened, section.checks)
    known = known_violations(opened.store, checker)
    if not known.checked.any():
        raise BadInput(
            f'{opened.dir}: nobody has checked a pair; add a judge with mode = "check" and a '
            "constitution and run it, or import pairs with meta.violations"
        )
    options = rule_options(section)
    made = apply_rule(combined.label, combined.p_a, known, options)
    name = f"rule:{judge}"
    n_dropped = int(made.dropped.sum())
    if not dry_run:
        own = [one for one in annotations.judges if not is_derived(one)]
        members = (judge,) if judge in annotations.judges else tuple(own)
        if checker is not None and checker not in members:
            members = (*members, checker)
        settings = {"checks": checker, **options.model_dump(mode="json")}
        record = make_record(opened.store, name, "constitution rule", members, None, settings)
        opened.store.put_judgments_by_row(name, ruled_judgments(made, name))
        write_record(opened.dir, record)
    facts = {
        "stored_as": None if dry_run else name,
        "judge": judge,
        "checks": checker,
        "n_pairs": len(made.label),
        "n_checked": int(known.checked.sum()),
        "n_broken": len(known.broken),
        "n_ruled": made.n_ruled,
        "n_overturned": made.n_overturned,
        "n_dropped": n_dropped,
    }
    flags = made.counts()
    if as_json:
        print_json({**facts, "flags": flags})
        return
    print(
        f"{facts['n_checked']:,} of {facts['n_pairs']:,} pairs checked"
        f"{f' by {checker}' if checker else ' (meta.violations)'}, {facts['n_broken']:,} with a "
        f"violation: the rule decides {made.n_ruled:,}, {made.n_overturned:,} of them against "
        f"{judge}; {n_dropped:,} dropped"
    )
    for flag, n in flags.items():
        print(f"  {n:>9,} {flag}")
    print("dry run: nothing stored" if dry_run else f'stored as judge "{name}"')


def route_command(
    plain: Annotated[str, typer.Argument(help="The judge of ordinary prompts.")],
    constitutional: Annotated[str, typer.Argument(help="The judge of safety-critical prompts.")],
    project: ProjectDir = Path("."),
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Safety-critical prompts ([audit.safety]) to one judge, the rest to another, as one judge."""
    import numpy as np

    from pipelines.agreement.annotations import LABEL_NAMES, NONE
    from pipelines.errors import BadInput
    from pipelines.judge.derived import make_record, write_record
    from pipelines.preferences.combine import combine_judge
    from pipelines.records import Judgment
    from workbench.audit.population import critical_pairs

    opened, annotations = open_judged(project)
    critical = critical_pairs(opened)
    if not critical.any():
        raise BadInput(
            f"{opened.dir}: no pair is safety-critical; set subsets, tags or pattern in the "
            "section audit.safety of project.toml"
        )
    ways = {"critical": (constitutional, critical), "rest": (plain, ~critical)}
    label = np.full(len(critical), NONE, dtype=np.int8)
    p_a = np.full(len(critical), np.nan)
    for judge, mine in ways.values():
        combined = combine_judge(annotations, judge)
        label[mine], p_a[mine] = combined.label[mine], combined.p_a[mine]
    name = f"route:{plain}|{constitutional}"
    if not dry_run:
        safety = opened.config.audit.safety
        settings = {key: getattr(safety, key) for key in ("subsets", "tags", "pattern")}
        members = (plain, constitutional)
        record = make_record(opened.store, name, "route by kind of prompt", members, None, settings)
        opened.store.put_judgments_by_row(
            name,
            (
                (
                    row,
                    Judgment.model_validate(
                        {
                            "judge": name,
                            "label": LABEL_NAMES[int(label[row])],
                            "p_a": None if math.isnan(p_a[row]) else float(p_a[row]),
                        }
                    ),
                )
                for row in np.flatnonzero(label != NONE).tolist()
            ),
        )
        write_record(opened.dir, record)
    counted = {
        way: {
            "judge": judge,
            "n_pairs": int(mine.sum()),
            "n_labels": int((mine & (label != NONE)).sum()),
        }
        for way, (judge, mine) in ways.items()
    }
    if as_json:
        print_json({"stored_as": None if dry_run else name, **counted})
        return
    for way, one in counted.items():
        print(f"{way}: {one['n_labels']:,} of {one['n_pairs']:,} pairs labelled by {one['judge']}")
    print("dry run: nothing stored" if dry_run else f'stored as judge "{name}"')
