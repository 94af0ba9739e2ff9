"""One way to call each command, which its `--help` ends with."""

from collections.abc import Mapping, Sequence

import typer

# By the command's words. A test reads each of these lines as the command itself would.
EXAMPLES: Mapping[str, Sequence[str]] = {
    "demo": (
        "workbench demo",
        "workbench demo --model ./my-model --judge http://127.0.0.1:8000/v1#qwen2.5-7b",
    ),
    "init": ("workbench init my-project",),
    "import": ("workbench import pairs.jsonl", "workbench import --labels labels.jsonl"),
    "generate": (
        "workbench generate --prompts code-safety -n 4",
        "workbench generate my-model --dry-run",
    ),
    "prompts": ("workbench prompts",),
    "agreement": ("workbench agreement pairs.jsonl --json",),
    "revise": (
        "workbench revise responses.jsonl --limit 100",
        "workbench revise --principles-per-round 1",
    ),
    "pairs": ("workbench pairs --dry-run",),
    "doctor": ("workbench doctor", "workbench doctor pairs.jsonl"),
    "export": ("workbench export trl --human-only --test-share 0.1",),
    "report": ("workbench report --html report.html",),
    "train": ("workbench train dpo --model my-model --dry-run",),
    "evaluate": ("workbench evaluate before after --judge my-judge",),
    "advise": ("workbench advise --budget 500",),
    "run": ("workbench run --dry-run", "workbench run generate judge"),
    "selftest": ("workbench selftest --quick",),
    "serve": ("workbench serve --project my-project",),
    "backup": ("workbench backup people.db",),
    "restore": ("workbench restore people.db",),
    "judge run": ("workbench judge", "workbench judge my-judge --budget-usd 5"),
    "judge export-batch": ("workbench judge export-batch my-judge batch",),
    "judge import-batch": ("workbench judge import-batch my-judge answers.jsonl",),
    "judge validate": ("workbench judge validate my-judge",),
    "judge compare": ("workbench judge compare my-judge other-judge",),
    "judge matrix": ("workbench judge matrix",),
    "judge ensemble": ("workbench judge ensemble majority --judge one --judge two --judge three",),
    "judge cascade": ("workbench judge cascade small-judge large-judge --max-loss 0.01",),
    "judge rule": ("workbench judge rule my-judge --dry-run",),
    "judge route": ("workbench judge route my-judge judge-with-constitution",),
    "constitution check": ("workbench constitution check constitution.toml",),
    "constitution diff": ("workbench constitution diff old.toml constitution.toml",),
    "constitution list": ("workbench constitution list",),
    "labeler fit": ("workbench labeler fit my-labeler",),
    "labeler apply": ("workbench labeler apply my-labeler",),
    "audit plan": ("workbench audit plan --label my-judge", "workbench audit plan --pairs 20000"),
    "audit draw": ("workbench audit draw --label my-judge --n 300",),
    "audit extend": ("workbench audit extend --n 100",),
    "audit status": ("workbench audit status --json",),
    "audit certify": ("workbench audit certify --out certificate.json",),
    "audit verify": ("workbench audit verify certificate.json",),
    "audit close": ("workbench audit close round-1",),
    "audit list": ("workbench audit list",),
    "annotator add": ("workbench annotator add ana --url https://audit.example.org",),
    "annotator owner-link": ("workbench annotator owner-link",),
    "annotator list": ("workbench annotator list",),
    "annotator revoke": ("workbench annotator revoke ana",),
    "sandbox prompts": ("workbench sandbox prompts 300 --kind harm --out hostile.jsonl",),
    "sandbox demonstrations": ("workbench sandbox demonstrations 5000 --out sft.jsonl",),
    "sandbox train-model": ("workbench sandbox train-model my-model",),
    "sandbox annotate": ("workbench sandbox annotate --person accuracy=0.8,position_bias=0.1",),
    "sandbox serve": ("workbench sandbox serve --port 0",),
    "argilla push": ("workbench argilla push --annotator ana",),
    "argilla pull": ("workbench argilla pull --watch",),
    "argilla import": ("workbench argilla import my-dataset",),
    "argilla up": ("workbench argilla up",),
    "argilla down": ("workbench argilla down",),
    "argilla status": ("workbench argilla status",),
}


def with_examples(app: typer.Typer, words: str = "") -> None:
    """Let the help of every command end with its examples."""
    for command in app.registered_commands:
        lines = EXAMPLES.get(f"{words}{command.name}", ())
        # Markdown, as all of our help: a list keeps each example on a line.
        command.epilog = "\n\n".join(["Example:", *(f"- `{line}`" for line in lines)])
    for group in app.registered_groups:
        if group.typer_instance is not None:
            with_examples(group.typer_instance, f"{words}{group.name} ")
