"""What `--help` says: nothing of it is eaten by markup, and every command has an example."""

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from workbench.cli.examples import EXAMPLES
from workbench.cli.main import app

ROOT: Any = typer.main.get_command(app)


def below(group: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for name, one in group.commands.items():
        yield " ".join([*words, name]), one
        if hasattr(one, "commands"):
            yield from below(one, (*words, name))


COMMANDS = dict(below(ROOT))


def plain(text: str) -> str:
    """Without boxes, line ends and the marks of Markdown."""
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", re.sub(r"`|\*\*", "", text)).split())


@pytest.mark.parametrize("words", ["", *COMMANDS])
def test_help_says_all_that_was_written(words: str) -> None:
    done = CliRunner().invoke(
        app, [*words.split(), "--help"], env={"COLUMNS": "1000", "TERM": "dumb"}
    )
    assert done.exit_code == 0
    said = plain(done.output)
    command = COMMANDS[words] if words else ROOT
    written = [command.help, command.epilog, *(getattr(one, "help", "") for one in command.params)]
    if hasattr(command, "commands"):
        written += [one.get_short_help_str(1000) for one in command.commands.values()]
    for text in filter(None, written):
        for paragraph in re.split(r"\n\n(?:- )?", text):
            assert plain(paragraph) in said
    assert "[]" not in said


def test_every_command_has_an_example() -> None:
    commands = {words for words, one in COMMANDS.items() if not hasattr(one, "commands")}
    assert set(EXAMPLES) == commands


@pytest.mark.parametrize("line", [line for lines in EXAMPLES.values() for line in lines])
def test_an_example_is_read_by_its_command(line: str) -> None:
    (program, *rest), command = shlex.split(line), ROOT
    assert program == "workbench"
    if rest == ["judge"] or rest[:2] == ["judge", "my-judge"]:
        rest.insert(1, "run")  # as the group itself does
    while hasattr(command, "commands"):
        command = command.commands[rest.pop(0)]
    context = command.make_context("workbench", rest)  # a usage error is raised here
    assert not context.args
