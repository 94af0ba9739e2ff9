"""Labels to a certified decision against the fixed 10% sample, with error rates, as Markdown.

    python benchmarks/audit_savings.py [--reps 2000] [--seed 0]

N = 20,000 pairs of which exactly theta agree; every label is followed by a look at the gate.
`strict` rows are exact (forward recursion) and simulated, `decisive` and active rows simulated with
the tests that real rounds are read with; the mean labels of active rows take a quarter of the
repetitions. A few minutes on one core.
"""

import argparse
import math
import platform
import sys
import time
from collections.abc import Callable, Iterable

import numpy as np

from pipelines.agreement.active_simulation import simulate_active
from pipelines.agreement.decision import DECISIONS, Decision, Gate
from pipelines.agreement.decision_curve import decision_curve
from pipelines.agreement.fixed_sample import fixed_power, fixed_sample_size, right_decision
from pipelines.agreement.simulation import Simulated, simulate_uniform

N = 20_000
FIXED = 2_000  # the fixed 10% sample
CAP = 4_000  # decisive labels after which a single-line round is given up
TAU = 0.80
AUROC = 0.85
TIES = 0.20
THETAS = (0.70, 0.74, 0.78, 0.82, 0.85, 0.90)
WIDE = (0.70, 0.72, 0.74, 0.76, 0.775, 0.79, 0.81, 0.82, 0.85, 0.90)
PUBLISHED = {
    "e-process": (133, 340, 2172, 2164, 413, 105),
    "active": (None, 235, None, 1457, 284, 91),
}
STRICT, DECISIVE = Gate(TAU, TAU, ties="strict"), Gate(TAU, TAU, ties="decisive")

Run = Callable[[float, np.random.Generator], Simulated]


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    head = list(header)
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines)


def limit(theta: float) -> float:
    """Fewest expected labels of any test at 5%: ln 20 over the divergence, finite population."""
    infinite = math.log(20) / (
        theta * math.log(theta / TAU) + (1 - theta) * math.log((1 - theta) / (1 - TAU))
    )
    return infinite / (1 + infinite / N)


def simulated_cell(ended: Simulated, theta: float, labels: np.ndarray) -> str:
    """Mean labels with their standard error; wrong and undecided rounds where there are any."""
    right = right_decision(STRICT, theta)
    wrong = 1 - ended.share(right) - ended.share("UNDECIDED")
    notes = [
        f"{share:.1%} {name}"
        for name, share in (("wrong", wrong), ("open", ended.share("UNDECIDED")))
        if share > 0
    ]
    error = labels.std() / math.sqrt(len(labels))
    return f"{labels.mean():.0f} ±{error:.0f}" + (f" ({', '.join(notes)})" if notes else "")


def exact_cell(theta: float) -> str:
    """The same from the exact law of the decision label."""
    curve = decision_curve(STRICT, N, theta, CAP)
    right = right_decision(STRICT, theta)
    open_ = curve.chance("UNDECIDED")
    wrong = 1 - curve.chance(right) - open_
    notes = [f"{share:.1%} {name}" for name, share in (("wrong", wrong), ("open", open_))]
    shown = [note for note, share in zip(notes, (wrong, open_), strict=True) if share >= 5e-4]
    return f"{curve.mean_labels():.0f}" + (f" ({', '.join(shown)})" if shown else "")


def single_line(reps: int, seed: int) -> str:
    """Labels to a decision on one line at .80."""
    few = max(reps // 4, 1)

    def strict(theta: float, rng: np.random.Generator) -> Simulated:
        return simulate_uniform(STRICT, N, theta, CAP, reps, rng)

    def decisive(theta: float, rng: np.random.Generator) -> Simulated:
        return simulate_uniform(DECISIVE, N, theta, CAP, reps, rng, tie_share=TIES)

    def active(theta: float, rng: np.random.Generator) -> Simulated:
        return simulate_active(STRICT, N, theta, CAP, few, rng, auroc=AUROC)

    def active_ties(theta: float, rng: np.random.Generator) -> Simulated:
        cap = round(CAP / (1 - TIES))
        return simulate_active(DECISIVE, N, theta, cap, few, rng, auroc=AUROC, tie_share=TIES)

    simulations: tuple[tuple[str, Run], ...] = (
        (f"`strict`, {reps} rounds", strict),
        (f"`decisive`, {TIES:.0%} ties, decisive labels, {reps} rounds", decisive),
        (f"active, AUROC {AUROC}, {few} rounds", active),
        (f"active, AUROC {AUROC}, {TIES:.0%} ties, decisive labels, {few} rounds", active_ties),
    )
    rows = [
        ["fixed 10% sample", *(str(FIXED) for _ in THETAS)],
        ["published e-process", *map(str, PUBLISHED["e-process"])],
        ["**`strict`, exact**", *(exact_cell(theta) for theta in THETAS)],
    ]
    for name, run in simulations:
        if run is active:
            rows.append(["published active", *(str(n or "-") for n in PUBLISHED["active"])])
        cells = []
        for k, theta in enumerate(THETAS):
            print(f"  {name}: theta {theta}", file=sys.stderr)
            ended = run(theta, np.random.default_rng([seed, k]))
            cells.append(simulated_cell(ended, theta, ended.n_decisive))
        rows.append([name, *cells])
    rows.append(["limit (KL, finite population)", *(f"{limit(theta):.0f}" for theta in THETAS)])
    powered = [fixed_sample_size(STRICT, N, theta, 0.9) for theta in THETAS]
    rows.append(["fixed sample for 90% power, theta known", *map(str, powered)])
    return table(["theta", *(f"{theta:.2f}" for theta in THETAS)], rows)


def shares(chance: Callable[[Decision], float]) -> list[str]:
    """TRUST, BETWEEN, WARN and undecided, in per cent."""
    return [f"{chance(name):.1%}" for name in ("TRUST", "BETWEEN", "WARN", "UNDECIDED")]


def default_gate(reps: int, seed: int) -> str:
    """TRUST above .80, WARN below .75, a round of 10% of the pairs, against the fixed sample."""
    strict, few = Gate(ties="strict"), max(reps // 4, 1)
    rows = []
    for k, theta in enumerate(WIDE):
        print(f"  default gate: theta {theta}", file=sys.stderr)
        curve = decision_curve(strict, N, theta, FIXED)
        fixed = fixed_power(strict, N, theta, FIXED, right_decision(strict, theta))
        ended = simulate_uniform(
            Gate(), N, theta, FIXED, few, np.random.default_rng([seed, 100 + k]), tie_share=TIES
        )
        rows.append(
            [
                f"{theta:.3g}",
                f"{curve.mean_labels():.0f}",
                *shares(curve.chance),
                f"{ended.n_decisive.mean():.0f}",
                " / ".join(shares(ended.share)),
                f"{FIXED} ({fixed:.0%} {right_decision(strict, theta)})",
                f"{1 - curve.mean_labels() / FIXED:.0%}",
            ]
        )
    return table(
        [
            "theta",
            "`strict` labels",
            "TRUST",
            "BETWEEN",
            "WARN",
            "open",
            f"`decisive` labels ({few} rounds)",
            "T / B / W / open",
            "fixed 10%",
            "saved",
        ],
        rows,
    )


def false_certification(reps: int, seed: int) -> str:
    """How often a round on the line itself is certified, watched after every label."""
    few = max(reps // 4, 1)
    rows = []

    def add(name: str, n: int | None, chance: Callable[[Decision], float], line: float) -> None:
        wrong = [d for d in DECISIONS if d != "UNDECIDED"]
        rows.append([name, f"{line}", str(n or "exact"), *(f"{chance(d):.2%}" for d in wrong)])

    curve = decision_curve(STRICT, N, TAU, CAP)
    add("one line, `strict`", None, curve.chance, TAU)
    rng = np.random.default_rng([seed, 200])
    add("one line, `strict`", reps, simulate_uniform(STRICT, N, TAU, CAP, reps, rng).share, TAU)
    ended = simulate_uniform(DECISIVE, N, TAU, CAP, reps, rng, tie_share=TIES)
    add(f"one line, `decisive`, {TIES:.0%} ties", reps, ended.share, TAU)
    for auroc in (AUROC, 0.5, 1 - AUROC):
        print(f"  false certification, active, AUROC {auroc:.2f}", file=sys.stderr)
        ended = simulate_active(STRICT, N, TAU, CAP, reps, rng, auroc=auroc)
        add(f"one line, active, AUROC {auroc:.2f}", reps, ended.share, TAU)
    for line in (0.75, 0.80):
        curve = decision_curve(Gate(ties="strict"), N, line, CAP)
        print(f"  false certification, default gate at {line}", file=sys.stderr)
        add("default gate, `strict`", None, curve.chance, line)
        ended = simulate_uniform(Gate(), N, line, FIXED, few, rng, tie_share=TIES)
        add(f"default gate, `decisive`, {TIES:.0%} ties, {FIXED} labels", few, ended.share, line)
    return table(["test", "theta", "rounds", *(d for d in DECISIONS if d != "UNDECIDED")], rows)


def main() -> None:
    """Print the three tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reps", type=int, default=2_000, help="simulated rounds a cell")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    start = time.process_time()
    parts = (
        (
            f"One line at {TAU}, N = {N:,}, given up after {CAP:,} labels: mean labels",
            single_line(options.reps, options.seed),
        ),
        (
            f"Default gate (TRUST above .80, WARN below .75), N = {N:,}, {FIXED:,} labels drawn",
            default_gate(options.reps, options.seed),
        ),
        (
            "False certification on the line itself, watched after every label (at most 5% each)",
            false_certification(options.reps, options.seed),
        ),
    )
    for title, text in parts:
        print(f"### {title}\n\n{text}\n")
    print(
        f"{options.reps} rounds a cell, seed {options.seed}; Python {platform.python_version()}, "
        f"numpy {np.__version__}, {platform.machine()}; {time.process_time() - start:.0f} CPU s."
    )


if __name__ == "__main__":
    main()
