"""`workbench`: the command line. Each command is a module beside this one; heavy imports wait."""

import sys

import typer

from pipelines.errors import WorkbenchError
from workbench.cli import (
    advise,
    agreement,
    annotator,
    argilla,
    audit,
    backup,
    constitution,
    demo,
    doctor,
    evaluate,
    examples,
    export,
    generate,
    import_,
    init,
    judge,
    judge_checks,
    judge_panel,
    judge_ways,
    labeler,
    pairs,
    report,
    revise,
    run,
    sandbox,
    selftest,
    serve,
    train,
)

app = typer.Typer(
    name="workbench",
    help="Audit AI preference labels with people, and export data that can be trusted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    # "rich" would take what stands in square brackets, such as [[models]], for its own marks.
    rich_markup_mode="markdown",
)

app.command("demo")(demo.demo)
app.command("init")(init.init)
app.command("import")(import_.import_)
app.command("generate")(generate.generate)
app.command("prompts")(generate.prompts)
app.command("agreement")(agreement.agreement)
judge_checks.register(judge.app)
judge_panel.register(judge.app)
judge_ways.register(judge.app)
app.add_typer(judge.app, name="judge")
app.add_typer(constitution.app, name="constitution")
app.add_typer(labeler.app, name="labeler")
app.command("revise")(revise.revise)
app.command("pairs")(pairs.pairs)
app.add_typer(audit.app, name="audit")
app.command("doctor")(doctor.doctor)
app.command("export")(export.export)
app.command("report")(report.report)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("advise")(advise.advise)
app.command("run")(run.run)
app.command("selftest")(selftest.selftest)
app.command("serve")(serve.serve)
app.add_typer(annotator.app, name="annotator")
app.add_typer(sandbox.app, name="sandbox")
app.add_typer(argilla.app, name="argilla")
app.command("backup")(backup.backup)
app.command("restore")(backup.restore)
examples.with_examples(app)


def main() -> None:
    """Run the command line; an error is one line on stderr and its exit code."""
    try:
        app()
    except WorkbenchError as error:
        print(f"workbench: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:  # of the disk, wherever it strikes: full, or not ours to write
        where = f"{error.filename}: " if error.filename else ""
        print(
            f"workbench: {where}{error.strerror or error}; make room or give the right to it, or "
            "name another place, then run it again",
            file=sys.stderr,
        )
        sys.exit(WorkbenchError.exit_code)
