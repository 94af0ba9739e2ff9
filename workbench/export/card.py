"""The data card: what an exported data set is, what stands behind its labels, and what does not.

Written from the facts alone (see `evidence.facts_of`); a number that nobody measured is called
"not measured".
"""

import json
from collections.abc import Iterator
from typing import Any

from workbench.export.card_audit import audit_section
from workbench.export.markdown import count, share, table
from workbench.export.places import MARK

Facts = dict[str, Any]

_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"))
_WHAT = {
    "chosen": "Each row is a prompt with a chosen and a rejected response.",
    "completion": "Each row is a prompt with one completion, and whether it was the better one.",
    "ab": "Each row is a prompt with two responses, A and B, and a label: which is better.",
    "pairs": "Each row is one pair in the workbench's own pairs format, with every AI verdict and "
    "every human label; no policy was applied.",
}


def data_card(facts: Facts) -> str:
    """The card in Markdown, with the YAML header that Hugging Face datasets read."""
    parts = [
        _header(facts),
        MARK,
        f"# {facts['project']}: preference data ({facts['format']})",
        _summary(facts),
        "## Which labels these are",
        _kinds(facts),
        "## What people said of the AI labels",
        *audit_section(facts),
        "## Where every pair went",
        *_counts(facts),
        "## How to load",
        _load(facts),
        *_columns(facts),
        "## Known limits",
        "\n".join(f"- {limit}" for limit in _limits(facts)),
        "## Where this comes from",
        _origin(facts),
    ]
    return "\n\n".join(parts) + "\n"


def _header(facts: Facts) -> str:
    n = sum(facts["rows"].values())
    size = next((name for limit, name in _SIZES if n < limit), "n>1M")
    lines = [
        "---",
        "# license: the owner of these data fills this in, such as cc-by-4.0",
        f"pretty_name: {_quoted(facts['project'])}",
        "tags:",
        "- preference",
        "- rlaif",
        "size_categories:",
        f"- {size}",
    ]
    if facts["options"]["folder"]:
        lines += ["configs:", "- config_name: default", "  data_files:"]
        for split in facts["rows"]:
            lines += [f"  - split: {split}", f"    path: data/{split}-*.parquet"]
    return "\n".join([*lines, "---"])


def _summary(facts: Facts) -> str:
    splits = ", ".join(f"{count(n)} {split}" for split, n in facts["rows"].items())
    held_out = ""
    if len(facts["rows"]) > 1:
        held_out = " No prompt stands in two splits."
    return (
        f"{_WHAT[facts['options']['shape']]} {splits} rows from "
        f"{count(facts['counts']['n_pairs'])} imported pairs.{held_out}"
    )


def _kinds(facts: Facts) -> str:
    sources = facts["counts"]["kept_by_source"]
    n = facts["counts"]["n_kept"]
    simulated = facts["vote_origins"].get("simulated", 0)
    of_whom = f"; {count(simulated)} of {count(facts['n_votes'])} votes are simulated"
    words = {
        "ai": f"the AI's own label ({_judge(facts)})",
        "human": f"a label by people (the majority of their votes{of_whom if simulated else ''})",
        "adjudicated": "a label decided by adjudication",
        "none": "no label",
    }
    rows = [[words[name], count(k), share(k, n)] for name, k in sources.items()]
    text = table(["pairs with", "n", "share"], rows)
    text += "\n\nOrder of precedence: adjudication, votes of the audit rounds, human labels that "
    text += "came with the pairs, AI label."
    if facts["made"]:
        text += "\n\n" + _made(facts["made"])
    if sources.get("ai") and (sources.get("human") or sources.get("adjudicated")):
        text += (
            " Labels corrected with people's answers are new labels: a certificate below speaks "
            "of the judge's own labels, never of this mixture."
        )
    return text


def _made(made: dict[str, Any]) -> str:
    """What `workbench pairs` did to the labels."""
    text = "**These are the pairs that `workbench pairs` made**: its labels, soft labels, weights "
    text += f"(column `weight`, {made['settings']['reweight']}) and splits, as in the project."
    for what in ("correction", "recalibration"):
        if made[what]:
            text += f" {what.capitalize()} of the AI label: {made[what]['why']}."
    if made["labels_stored_as"]:
        text += (
            f" The AI labels are those of `{made['labels_stored_as']}`, learned from people's "
            f"labels: new labels, of which no certificate of `{made['label']}` speaks."
        )
    return text


def _counts(facts: Facts) -> Iterator[str]:
    counts = facts["counts"]
    if not counts["steps"]:
        yield f"All {count(counts['n_pairs'])} pairs are here."
    else:
        rows = []
        for step in counts["steps"]:
            why = ", ".join(f"{count(n)} {reason}" for reason, n in step["dropped"].items())
            rows.append(
                [
                    step["name"],
                    step["policy"],
                    count(step["n_in"]),
                    why or "none",
                    count(step["n_out"]),
                ]
            )
        yield table(["step", "policy", "pairs in", "left, and why", "pairs out"], rows)
        notes = [
            f"{step['name']}: {count(n)} {what}"
            for step in counts["steps"]
            for what, n in step["notes"].items()
            if n
        ]
        if notes:
            yield "\n".join(f"- {note}" for note in notes)
    ai = facts["ai"]
    missing = ", ".join(f"{count(n)} {why}" for why, n in ai["n_missing"].items()) or "none missing"
    yield (
        f"AI labels ({_judge(facts)}): {count(ai['n_labelled'])} of "
        f"{count(facts['pairs']['n'])} imported pairs have one; {missing}. A failure is never "
        "scored as a label."
    )
    if facts["n_strays"]:
        yield f"{count(facts['n_strays'])} audited pairs are no longer among the imported ones."


def _load(facts: Facts) -> str:
    if facts["options"]["folder"]:
        call = 'load_dataset("PATH_OF_THIS_FOLDER")'
    else:
        loader = "parquet" if facts["format"] == "parquet" else "json"
        call = f'load_dataset("{loader}", data_files={json.dumps(facts["data_files"])})'
    code = f"```python\nfrom datasets import load_dataset\n\ndata = {call}\n```"
    if facts["options"]["shape"] == "pairs":
        code += (
            "\n\nIts own reader is `workbench import`. `datasets` takes each column's type from "
            "the first 10 MB, so a larger file of nested and missing values may not load there."
        )
    return code


def _columns(facts: Facts) -> Iterator[str]:
    if not facts["columns"]:
        return
    json_lines = facts["format"] in ("trl", "kto", "jsonl")
    rows = []
    for column in facts["columns"]:
        about = column["about"]
        if json_lines and column["stand_in"] is not None:
            value = column["stand_in"]
            about += f"; {'an empty text' if value == '' else f'{value:g}'} where there is none"
        rows.append([f"`{column['name']}`", about])
    yield table(["column beside the texts", "meaning"], rows)


def _limits(facts: Facts) -> Iterator[str]:
    policy, sources = facts["options"]["policy"], facts["counts"]["kept_by_source"]
    if sources.get("ai"):
        if not facts["certificates"]:
            yield (
                "No audit round stands behind the AI labels: how far to trust them was not "
                "measured."
            )
        made = facts["made"]
        yield (
            "Soft labels of AI labels were learned from people's labels, and are as good as "
            "those were random and many."
            if made and made["labels_stored_as"]
            else "Soft labels of AI labels are the judge's own numbers (1 or 0 where it gave "
            "none); they were not calibrated."
        )
        yield "Position and length bias of the judge, where there is any, is still in its labels."
    if sources.get("human"):
        yield "Soft labels of human labels are shares of few votes; one vote gives 1 or 0."
    if facts["imported_labels"]:
        yield "How the pairs with imported human labels were chosen is not known."
    simulated = facts["vote_origins"].get("simulated", 0)
    if simulated:
        yield f"{count(simulated)} of the {count(facts['n_votes'])} votes are simulated."
    if policy and policy["disagreement"] == "drop":
        yield (
            "Pairs on which people and the AI disagree were dropped, and only audited pairs can "
            "be: agreement computed from this file overstates the judge."
        )
    if policy and policy["min_confidence"] is not None:
        yield "Pairs with an unconfident AI label were dropped: hard pairs are rarer here."
    if facts["annotators_named"]:
        yield "The column `annotators` holds people's names; `--pseudonyms` replaces them."


def _origin(facts: Facts) -> str:
    program, pairs = facts["program"], facts["pairs"]
    rows = [
        ["written by", f"workbench {program['version']}, {program['git_revision'] or 'installed'}"],
        ["written at", facts["created"]],
        ["AI label", _judge(facts)],
        ["audit rounds", ", ".join(facts["rounds"]) or "none"],
        ["imported pairs", f"{count(pairs['n'])} ({count(pairs['n_identical'])} with identical "
         f"responses, {count(pairs['n_duplicate'])} repeated, {count(pairs['n_empty'])} with an "
         "empty response)"],
        ["SHA-256 of pairs and verdicts", f"`{pairs['hash']}`"],
    ]  # fmt: skip
    policy = facts["options"]["policy"]
    if facts["made"]:
        settings = facts["made"]["settings"].items()
        rows.append(["made by `workbench pairs`", ", ".join(f"{k} {v}" for k, v in settings)])
    if policy:
        rows.append(["policy", ", ".join(f"{key} {value}" for key, value in policy.items())])
    if facts["options"]["test_share"]:
        rows.append(
            [
                "test share, seed",
                f"{facts['options']['test_share']}, {facts['options']['split_seed']}",
            ]
        )
    return table(["", ""], rows) + "\n\nThe audit file beside this card holds the same as JSON."


def _judge(facts: Facts) -> str:
    return facts["label"] or "no AI verdicts"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ") + '"'
