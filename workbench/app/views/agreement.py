"""Can these AI labels be trusted, and where is the judge wrong? The page that answers it."""

import pandas as pd
import streamlit as st

from pipelines.agreement.annotations import LABEL_NAMES
from pipelines.agreement.estimate import Estimate
from pipelines.agreement.kappa import cohen_kappa, gwet_ac1
from pipelines.errors import Undefined
from workbench.app import charts
from workbench.app.findings import Findings, agreement_of, confusion, find, round_names
from workbench.app.views.judge_errors import show_judge_errors
from workbench.app.words import (
    DECISION_WORDS,
    STRATUM_WORDS,
    download,
    duration_words,
    estimates_table,
    for_chart,
    interval_words,
    left_out_of,
    plain,
    waiting_words,
)
from workbench.audit.certificate import fixed_sample
from workbench.audit.certificate_file import Interval
from workbench.audit.reading import StratumReading
from workbench.audit.reviewed import label_codes
from workbench.project import Project


def render(project: Project) -> None:
    """Draw the page for the round that the reader picks, newest first."""
    st.title("Can the AI labels be trusted?")
    names = round_names(project)
    if not names:
        st.info(
            "No round has been drawn yet. Draw one on the Rounds page, or with "
            "`workbench audit draw`."
        )
        return
    name = names[0] if len(names) == 1 else st.selectbox("Round", names)
    findings = find(project, name)
    design = findings.reading.design
    st.markdown(
        f"Audited: the labels of **{plain(design.label)}**, round **{plain(name)}**. "
        f"{findings.progress.answered:,} of {findings.progress.asked:,} labels are given."
    )
    left_out = left_out_of(design)
    if left_out:
        st.caption(left_out)
    for part in findings.reading.strata:
        if len(findings.reading.strata) > 1:
            st.header(STRATUM_WORDS[part.design.name])
        _show_gate(findings, part)
    main = findings.reading.main
    audited = findings.audited("main")
    if audited.empty:
        st.info("Breakdowns appear with the first labels. The Review page is where they are given.")
        return
    _show_ceiling(findings, main)
    _show_confusion(findings)
    show_judge_errors(project, findings, main)
    _show_people(findings)
    _show_cost(project, findings)


def _show_gate(findings: Findings, part: StratumReading) -> None:
    now, gate = part.now, part.gate
    name = part.design.name
    colour = {"TRUST": "green", "WARN": "red", "BETWEEN": "orange", "UNDECIDED": "gray"}[
        part.decision
    ]
    where = f" after {part.n_labels:,} labels" if part.n_labels else ""
    st.subheader(f":{colour}[{part.decision}]{where}: {DECISION_WORDS[part.decision]}")
    if now.n_answered == 0:
        if name == "safety":
            st.warning(
                "No safety-critical pair has a human label: the certificate does not cover them."
            )
        st.caption(
            f"Nothing is read yet, of {part.labels.n_drawn:,} drawn pairs out of "
            f"{part.design.n_population:,}. {waiting_words(part)}"
        )
        return
    st.write(
        f"Agreement of people with the AI: {interval_words(now.estimate)}. "
        f"TRUST asks for more than {gate.trust_above:.0%}, WARN says less than "
        f"{gate.warn_below:.0%}; each test errs in at most {gate.alpha:.1%} of audits, however "
        f"often anybody looks. {_n_words(part)}"
    )
    if part.crossing is not None and now.decision != part.decision:
        st.warning(
            f"Votes were changed after the decision: the labels as they stand now say "
            f"{now.decision}. The first decision stands; both are in the certificate."
        )
    path = findings.paths.get(name)
    if path is not None and len(path.t):
        interval, evidence = st.tabs(["Agreement over labels", "Evidence over labels"])
        interval.plotly_chart(
            charts.gate_figure(path, gate, part.n_labels), key=f"gate-{name}", width="stretch"
        )
        interval.caption(
            f"n = {now.n_answered:,} pairs in draw order, ties and skipped pairs included. "
            "The band holds the true agreement at every label at once, so it may be watched. The "
            "decision comes from the tests (next tab), which can cross a little before the band "
            "leaves a line: dotted is the agreement that decides, nearly so where people call ties."
        )
        evidence.plotly_chart(
            charts.evidence_figure(path, gate), key=f"evidence-{name}", width="stretch"
        )
        evidence.caption(
            "Each curve is the evidence of one test, as odds. A curve that reaches the dashed line "
            "decides; TRUST and WARN are decided by their own curve, BETWEEN by the other two "
            "together."
        )
    skipped = (
        f", {now.n_unanswered:,} skipped by everybody (read as the worst case, for every test)"
        if now.n_unanswered
        else ""
    )
    st.caption(
        f"{now.n_agree:,} agree, {now.n_disagree:,} disagree, {now.n_tie:,} human ties{skipped}. "
        f"{part.labels.n_drawn:,} pairs are drawn of N = {part.design.n_population:,}. "
        f"{waiting_words(part)}"
    )


def _n_words(part: StratumReading) -> str:
    """What n counts, where a person's tie is not in it."""
    if part.gate.ties == "strict" or not part.now.n_tie:
        return ""
    return "n counts the pairs on which a person chose a side: a tie says nothing about the AI."


def _show_ceiling(findings: Findings, main: StratumReading) -> None:
    st.header("AI and people, people and people")
    audited = findings.audited("main")
    ceiling = findings.ceiling
    human = _estimate(ceiling.decisive) if ceiling else None
    rows: list[tuple[str, Estimate | None]] = [
        ("people with the AI", agreement_of(audited, main.gate, main.design.n_population)),
        ("people with people", human),
    ]
    st.plotly_chart(charts.estimates_figure(rows), key="ceiling", width="stretch")
    st.caption(
        "Pairs on which nobody said tie. Two people are the ceiling: an AI that agrees with people "
        "as often as they agree with each other makes no errors that this audit could see. "
        + (
            f"n = {ceiling.n_pairs:,} pairs have a second label."
            if ceiling
            else "No pair has a second label yet, so the ceiling is not measured."
        )
    )
    ai, person = label_codes(audited["ai"]).to_numpy(), label_codes(audited["human"]).to_numpy()
    chance: list[tuple[str, Estimate | None]] = []
    for name, statistic in (("Cohen's kappa", cohen_kappa), ("Gwet's AC1", gwet_ac1)):
        try:
            chance.append((name, statistic(ai, person)))
        except Undefined:
            chance.append((name, None))
    st.plotly_chart(
        charts.estimates_figure(chance, axis="agreement beyond chance", percent=False),
        key="chance",
        width="stretch",
    )
    st.caption(
        "Agreement beyond chance, ties included. Kappa falls when nearly all labels are the same, "
        "whatever the quality; AC1 does not. If they differ much, look at the table below. Their "
        "intervals are those of a sample of fixed size: read them when the round is closed."
    )
    download(estimates_table([*rows, *chance], "measure"), "agreement.csv", "csv-ceiling")


def _show_confusion(findings: Findings) -> None:
    audited = findings.audited("main")
    table = confusion(audited)
    st.header("What the AI said, and what people said")
    left, _ = st.columns([3, 2])
    left.plotly_chart(charts.confusion_figure(table, LABEL_NAMES), key="confusion", width="stretch")
    a_b, b_a = int(table[0, 1]), int(table[1, 0])
    st.caption(
        f"n = {int(table.sum()):,} audited pairs. On the diagonal they agree. {a_b + b_a:,} pairs "
        "have the opposite label; the Disagreements page lists them, and those that only one side "
        "calls a tie."
    )
    rows = [f"people say {name}" for name in LABEL_NAMES]
    counts = pd.DataFrame(table, columns=[f"AI says {name}" for name in LABEL_NAMES])
    counts.insert(0, "", rows)
    download(counts, "confusion.csv", "csv-confusion")


def _show_people(findings: Findings) -> None:
    st.header("Agreement by annotator")
    entries = findings.people.get("main", ())
    rows = [(for_chart(entry.annotator), _estimate(entry.agreement)) for entry in entries]
    st.plotly_chart(charts.estimates_figure(rows), key="people", width="stretch")
    st.caption(
        "Each person's pairs are a random draw, so these may be compared: a person far from the "
        "others reads the guidelines differently, or labels carelessly. Anytime intervals; only "
        "the votes that count."
    )
    table = estimates_table(
        [(entry.annotator, _estimate(entry.agreement)) for entry in entries], "annotator"
    )
    download(table, "agreement-by-annotator.csv", "csv-people")


def _show_cost(project: Project, findings: Findings) -> None:
    st.header("Cost, and labels saved")
    timed = findings.items["seconds"].dropna()
    costs = project.config.costs
    if timed.empty:
        spent = "No vote was timed yet."
    else:
        seconds = float(timed.sum())
        spent = (
            f"{duration_words(seconds)} on {len(timed):,} timed labels "
            f"({duration_words(float(timed.median()))} on the median pair), "
            f"{seconds / 3600 * costs.usd_per_hour:,.2f} USD at {costs.usd_per_hour:g} USD an hour."
        )
    api = ""
    if costs.api_usd_per_1000 is not None:
        n_verdicts = project.store.manifest().n_verdicts
        api = f" The judges' {n_verdicts:,} verdicts: "
        api += f"{n_verdicts / 1000 * costs.api_usd_per_1000:,.2f} USD."
    st.write(spent + api)
    strata = findings.reading.strata
    for part in strata:
        fixed = fixed_sample(part)
        if fixed is not None:
            of = f"{STRATUM_WORDS[part.design.name]}: " if len(strata) > 1 else ""
            st.caption(of + fixed.sentence)


def _estimate(value: Interval | None) -> Estimate | None:
    return None if value is None else Estimate(**value.model_dump())
