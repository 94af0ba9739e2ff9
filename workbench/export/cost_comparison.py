"""What labelling every pair by hand would cost, beside what the AI labels did cost."""

from typing import Any

from pipelines.config import CostsSection
from pipelines.judge.manifest import read_manifest
from pipelines.judge.runner import JudgeFolder
from workbench.project import Project


def cost_comparison(
    project: Project, n_pairs: int, n_verdicts: int, audit_usd: float | None
) -> dict[str, Any]:
    """The two ways side by side; a line whose figure nobody has given or measured is None.

    Args:
        project: The project.
        n_pairs: Pairs in it.
        n_verdicts: AI verdicts in it, those without a run of their own included.
        audit_usd: What people's time on the audit cost.
    """
    costs = project.config.costs
    hours = n_pairs * costs.minutes_per_pair / 60.0
    by_hand = hours * costs.usd_per_hour
    judges = {spec.name: _spent(project, spec.name) for spec in project.config.judges}
    measured = {name: one for name, one in judges.items() if one["requests"]}
    api_usd, source = _api(measured, n_verdicts, costs)
    lines = (api_usd, costs.training_usd, audit_usd)
    with_ai = sum(line for line in lines if line is not None) if api_usd is not None else None
    return {
        "n_pairs": n_pairs,
        "minutes_per_pair": costs.minutes_per_pair,
        "usd_per_hour": costs.usd_per_hour,
        "by_hand_hours": hours,
        "by_hand_usd": by_hand,
        "judges": measured,
        "api_usd": api_usd,
        "api_usd_source": source,
        "training_usd": costs.training_usd,
        "audit_usd": audit_usd,
        "with_ai_usd": with_ai,
        "saved_usd": None if with_ai is None else by_hand - with_ai,
    }


def comparison_rows(found: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """The comparison as rows of two cells; what is unknown is said to be."""
    source = {
        "measured": "as the runs were billed",
        "partly": "as the runs were billed; some requests had no price",
        "configured": "at api_usd_per_1000",
    }.get(found["api_usd_source"], "no price is known: set api_usd_per_1000")
    rows = [
        (
            f"every pair by hand: {found['minutes_per_pair']:g} minutes each, "
            f"{found['usd_per_hour']:g} USD an hour",
            _usd(found["by_hand_usd"]),
        ),
        (f"AI judges, {source}", _usd(found["api_usd"])),
        ("training", _usd(found["training_usd"], "not set (training_usd)")),
        ("people's time on the audit", _usd(found["audit_usd"], "not measured")),
        ("with AI, all that is known", _usd(found["with_ai_usd"])),
        ("saved", _usd(found["saved_usd"])),
    ]
    return tuple(rows)


def _spent(project: Project, judge: str) -> dict[str, Any]:
    spent = read_manifest(JudgeFolder(project.dir, judge).manifest, judge).spent
    return {
        "requests": spent.requests,
        "prompt_tokens": spent.prompt_tokens,
        "completion_tokens": spent.completion_tokens,
        "usd": spent.usd,
        "n_unpriced": spent.n_unpriced,
    }


def _api(
    measured: dict[str, dict[str, Any]], n_verdicts: int, costs: CostsSection
) -> tuple[float | None, str | None]:
    """Dollars for the AI labels, and how they are known."""
    if measured and any(one["n_unpriced"] < one["requests"] for one in measured.values()):
        priced = all(one["n_unpriced"] == 0 for one in measured.values())
        usd = sum(float(one["usd"]) for one in measured.values())
        return usd, "measured" if priced else "partly"
    if costs.api_usd_per_1000 is not None:
        return n_verdicts * costs.api_usd_per_1000 / 1000.0, "configured"
    return None, None


def _usd(value: float | None, otherwise: str = "not known") -> str:
    return otherwise if value is None else f"{value:,.2f} USD"
