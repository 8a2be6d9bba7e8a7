"""The page of the command line names every command and every option, and nothing that is not there."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from farshore.cli import root

_PAGE = (Path(__file__).resolve().parents[2] / "docs/cli.md").read_text(encoding="utf-8")


def _commands(
    command: click.Command, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from _commands(found, (*words, name))
    else:
        yield words, command


_ALL = dict(_commands(root.root))
_EVERYWHERE = {"--state", "--api", "--json", "--help"}


@pytest.mark.parametrize("words", _ALL, ids=" ".join)
def test_every_command_is_on_the_page(words: tuple[str, ...]) -> None:
    assert f"farshore {' '.join(words)}" in _PAGE


def test_every_command_on_the_page_exists() -> None:
    lines = [
        line
        for block in re.findall(r"^```\n(.*?)^```", _PAGE, re.MULTILINE | re.DOTALL)
        for line in block.split("\n")
    ]
    named = {line.split()[1] for line in lines if line.startswith("farshore ")}
    assert named <= {words[0] for words in _ALL}


@pytest.mark.parametrize("words", _ALL, ids=" ".join)
def test_every_option_is_on_the_page(words: tuple[str, ...]) -> None:
    for each in _ALL[words].params:
        for option in each.opts:
            name = option.removeprefix("--")
            if option.startswith("--") and option not in _EVERYWHERE:
                assert option in _PAGE or f"| `{name}` |" in _PAGE, option
