"""The project report as sections that a terminal and a web page both show."""

import html
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from workbench.export.cost_comparison import comparison_rows
from workbench.export.markdown import count

Report = Mapping[str, Any]


@dataclass(frozen=True)
class Section:
    """A heading, sentences, and a table that may have no rows."""

    title: str
    sentences: tuple[str, ...]
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


def sections(report: Report) -> Iterator[Section]:
    """The report in reading order."""
    yield _imported(report["imported"])
    yield _judges(report)
    for one in report["rounds"]:
        yield _round(one)
    if not report["rounds"]:
        yield Section("Rounds", ("No round has been drawn: `workbench audit draw`.",))
    yield _costs(report["costs"])
    yield Section(
        "Against labelling by hand",
        ("A line that nobody has set or measured is left out of the sum.",),
        ("what", "cost"),
        comparison_rows(report["cost_comparison"]),
    )


def _imported(imported: Report) -> Section:
    flags = ", ".join(
        f"{count(imported[key])} {what}"
        for key, what in (
            ("n_identical", "with identical responses"),
            ("n_duplicate", "repeated"),
            ("n_empty", "with an empty response"),
        )
        if imported[key]
    )
    rows = tuple(
        (
            one["file"],
            one["format"],
            count(one["n_taken"]),
            ", ".join(f"{count(n)} {why}" for why, n in one["rejected"].items()) or "none",
        )
        for one in imported["files"]
    )
    return Section(
        "Imported",
        (f"{count(imported['n_pairs'])} pairs{f' ({flags}; all kept)' if flags else ''}.",),
        ("file", "format", "pairs taken", "rows rejected"),
        rows,
    )


def _judges(report: Report) -> Section:
    imported = report["imported_labels"]
    sentences = []
    if imported["n_labels"]:
        sentences.append(
            f"{count(imported['n_labels'])} human labels by {count(imported['n_annotators'])} "
            "people came with the pairs; how those pairs were chosen is not known, so this "
            "describes and certifies nothing."
        )
        sentences.append(f"Two people agree with each other: {interval(imported['human_human'])}.")
    rows = []
    for name, judge in report["judges"].items():
        found, position = judge["imported_labels"], judge["position"]
        flips = position and position["flip_rate"]
        rows.append(
            (
                name,
                count(judge["n_pairs"]),
                f"{count(judge['n_failed'])} / {count(judge['n_abstained'])}",
                interval(found and found["agreement"]),
                interval(found and found["cohen_kappa"], percent=False),
                interval(flips),
            )
        )
    head = ("judge", "labels", "failed / abstained", "agrees with people", "kappa", "flips on swap")
    if not rows:
        sentences.append("No AI verdicts.")
    return Section("Judges, on the imported human labels", tuple(sentences), head, tuple(rows))


def _round(one: Report) -> Section:
    drawn = _day(one["created_at"])
    state = "open" if one["closed_at"] is None else f"closed {_day(one['closed_at'])}"
    ceiling = one["human_ceiling"]
    people = ", ".join(f"{who['name']} {count(who['n_votes'])}" for who in one["people"])
    rows = []
    for part in one["strata"]:
        decided = part["n_labels_to_decision"]
        saved = part["n_labels_saved"]
        rows.append(
            (
                part["name"],
                part["decision"],
                interval(part["agreement"]),
                f"{count(part['n_read'])} of {count(part['n_drawn'])}",
                count(part["n_population"]),
                count(decided) if decided else "not decided",
                "not decided" if saved is None else f"{saved:+,}",
            )
        )
    return Section(
        f"Round {one['name']}: {one['decision']}",
        (
            f"Audits {one['label']}; drawn {drawn} ({one['mode']}), {state}; "
            f"{count(one['n_slots_answered'])} of {count(one['n_slots_asked'])} labels given"
            f"{f' ({people})' if people else ''}.",
            *one["says"],
            f"Two people agree with each other: {interval(ceiling and ceiling['agreement'])}.",
        ),
        (
            *("stratum", "decision", "agreement with one person", "read of drawn", "pairs"),
            *("labels to decide", "saved against a fixed 10%"),
        ),
        tuple(rows),
    )


def _costs(costs: Report) -> Section:
    sentences = [f"{count(costs['n_votes'])} votes by {count(costs['n_people'])} people."]
    if costs["n_simulated_votes"]:
        sentences.append(f"{count(costs['n_simulated_votes'])} further votes are simulated.")
    if costs["human_hours"] is None:
        sentences.append("Time spent: not measured.")
    else:
        sentences.append(
            f"Time spent: {costs['human_hours']:.2f} hours on {count(costs['n_timed_votes'])} "
            f"timed votes ({costs['seconds_per_label']:.0f} s each), "
            f"{costs['human_usd']:,.2f} USD at {costs['usd_per_hour']:g} USD an hour."
        )
    if costs["n_labels_saved"] is None:
        sentences.append("Labels saved: not known before a gate decides.")
    else:
        how = "measured" if costs["seconds_per_label_measured"] else "the project file's figure"
        sentences.append(
            f"Labels saved against a fixed 10% sample: {costs['n_labels_saved']:+,}, that is "
            f"{costs['hours_saved']:+.2f} hours at {costs['seconds_per_label']:.0f} s a label "
            f"({how})."
        )
    return Section("Costs", tuple(sentences))


def interval(value: Report | None, percent: bool = True) -> str:
    """An estimate with interval and n, short enough for a cell."""
    if value is None:
        return "not measured"
    if percent:
        low, high = f"{100 * value['low']:.1f}", f"{100 * value['high']:.1f}"
        return f"{100 * value['estimate']:.1f}% [{low}, {high}] n={count(value['n'])}"
    return f"{value['estimate']:.2f} [{value['low']:.2f}, {value['high']:.2f}]"


def html_page(report: Report) -> str:
    """One self-contained page: no script, nothing loaded from elsewhere, all text escaped."""
    title = html.escape(f"{report['project']}: report")
    body = "".join(_html(section) for section in sections(report))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body><main><h1>{title}</h1>{body}</main></body></html>\n"
    )


_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:0;color:#1a1a1a;background:#fff}"
    "main{max-width:72rem;margin:auto;padding:1.5rem}h2{margin-top:2rem}"
    ".scroll{overflow-x:auto}table{border-collapse:collapse}"
    "th,td{text-align:left;padding:.35rem .8rem .35rem 0;border-bottom:1px solid #d0d0d0}"
    "@media(prefers-color-scheme:dark){body{color:#eee;background:#16181c}"
    "th,td{border-color:#444}}"
)


def _html(section: Section) -> str:
    parts = [f"<section><h2>{html.escape(section.title)}</h2>"]
    parts += [f"<p>{html.escape(sentence)}</p>" for sentence in section.sentences]
    if section.rows:
        head = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in section.head)
        rows = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
            for row in section.rows
        )
        parts.append(
            f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
            f"<tbody>{rows}</tbody></table></div>"
        )
    return "".join([*parts, "</section>"])


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")
