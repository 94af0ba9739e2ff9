"""What `workbench generate` says before and after a run."""

from collections.abc import Sequence

from pipelines.generate.estimate import Estimate
from pipelines.generate.prompts import PromptFile
from pipelines.generate.runner import GenerateRun
from pipelines.stages.budget import Limits
from workbench.cli.judge_text import ENDED, duration, limit_lines, price_words, spent_words
from workbench.generating import Generated


def prompts_line(read: PromptFile) -> str:
    """How many prompts there are, and what became of the other rows."""
    n_prompts = len(read.prompts)
    line = f"{n_prompts:,} prompt{'' if n_prompts == 1 else 's'} from {read.source}"
    if read.n_duplicates:
        line += f", {read.n_duplicates:,} duplicates left out"
    if read.rejects:
        line += f", {len(read.rejects):,} bad rows left out"
    return line


def estimate_lines(read: PromptFile, found: Sequence[Estimate], limits: Limits) -> list[str]:
    """What a run would take, and whether the limits allow it."""
    lines = [prompts_line(read)]
    for one in found:
        lines.append(f"{one.model}: {one.n_pending:,} of {one.n_prompts:,} prompts to do")
        if not one.n_pending:
            continue
        how = {"log": "as counted so far", "guess": "a guess, half of max_tokens"}
        speed = {"log": "at the last run's speed", "guess": "a guess, at full concurrency"}
        lines.append(
            f"  {'requests':10} {one.n_requests:>14,} at most {one.most_requests:,}, with "
            "near-identical ones sampled again"
        )
        lines.append(f"  {'tokens':10} {one.prompt_tokens:>14,} in")
        lines.append(f"  {'':10} {one.completion_tokens:>14,} out, {how[one.measured]}")
        lines.append(f"  {'price':10} {price_words(one.usd, one.most_usd)}")
        lines.append(f"  {'time':10} {duration(one.seconds):>14} {speed[one.speed]}")
    usd = sum(one.usd or 0.0 for one in found)
    n_requests = sum(one.n_requests for one in found)
    return [*lines, *limit_lines(usd, n_requests, limits), "dry run: nothing asked"]


def generated_lines(read: PromptFile, done: Generated) -> list[str]:
    """What was done, model by model, and the pairs."""
    lines = [prompts_line(read)]
    for run in done.runs:
        failed = ", ".join(f"{n:,} {reason}" for reason, n in run.failed.items())
        failed += f" ({run.detail})" if run.detail else ""
        lines.append(
            f"{run.model}: {run.n_candidates:,} candidates of {run.n_drawn:,} prompts"
            + (f", failed: {failed}" if failed else "")
            + (f", {run.n_pending:,} prompts pending" if run.n_pending else "")
        )
        lines.append(
            f"  {ENDED.get(run.ended, run.ended)}: {run.n_new:,} new in {duration(run.seconds)}, "
            f"{spent_words(run.spent)}"
        )
        if run.n_aside or run.n_near_identical:
            lines.append(
                f"  {run.n_aside:,} samples set aside (near-identical or failed) and sampled "
                f"again; {run.n_near_identical:,} stayed near-identical"
            )
    pairs = done.pairs
    if pairs is not None:
        lines.append(
            f"{pairs.n_pairs:,} pairs of {pairs.n_prompts:,} prompts, {pairs.n_new:,} of them new"
            + (f"; {pairs.n_identical:,} of equal responses left out" if pairs.n_identical else "")
        )
        if pairs.n_new:
            lines.append("next: workbench judge")
    if any(run.n_pending for run in done.runs):
        lines.append("run it again to go on; what is done is not asked again")
    return lines


def warnings(runs: Sequence[GenerateRun]) -> list[str]:
    """What a person should know about the log."""
    lines = []
    for run in runs:
        if run.torn_bytes:
            lines.append(
                f'model "{run.model}": the log\'s last line was torn ({run.torn_bytes:,} bytes), '
                "as after a kill; it was cut off and that sample is drawn again"
            )
        if 2 * run.n_near_identical > run.n_new > 1:
            lines.append(
                f'model "{run.model}": most of its candidates are near-identical; raise its '
                "temperature, and see that the server samples (`transformers serve` does where the "
                "model's generation_config.json says do_sample)"
            )
        if run.n_damaged:
            lines.append(
                f'model "{run.model}": {run.n_damaged:,} lines of the log are damaged; what they '
                "held is drawn again"
            )
    return lines
