"""Manual pages, made from the definitions that the command line itself runs on.

One page for `farshore`, one for each of its commands with all of their words, in the macros of man(7), which
every reader of manual pages knows. What a page says of a command or an option is its help text, so it cannot
say anything else than `--help` does. Pure; `scripts/build_hook.py` puts the pages into a wheel.
"""

from __future__ import annotations

import datetime as dt
import inspect
import re
from collections.abc import Iterator, Sequence

import click

from farshore import __version__
from farshore.cli import root

_ENVIRONMENT = (
    ("FARSHORE_STATE", "The state directory of the node that commands speak to, as --state."),
    ("FARSHORE_API", "The address of that node's API, as --api."),
    ("FARSHORE_TOKEN", "The token for `farshore node join`, where no --token-file is given."),
    ("NO_COLOR", "No colour, whatever the terminal."),
)
_EXIT = (
    (0, "Done."),
    (1, "An error."),
    (2, "The command line is not understood."),
    (3, "No such group, link, node, volume or path."),
    (4, "Refused by a safety check; nothing was changed."),
    (5, "The operating system, or the node, denies it."),
    (6, "The peer or the node does not answer."),
    (7, "What was waited for did not come in time."),
    (8, "Copies were written independently of each other."),
)
_FILES = (
    ("/var/lib/farshore", "The state directory of root's node."),
    ("$XDG_STATE_HOME/farshore, ~/.local/state/farshore", "Those of other users."),
)


def pages(date: dt.date) -> dict[str, str]:
    """The text of each page by its file's name, as in `farshore-export.1`."""
    context = click.Context(root.root, info_name="farshore")
    names = root.root.list_commands(context)
    made = {"farshore.1": _overview(context, names, date)}
    for name in names:
        command = root.root.get_command(context, name)
        assert command is not None
        made[f"farshore-{name}.1"] = _page(click.Context(command, context, name), names, date)
    return made


def _overview(context: click.Context, names: Sequence[str], date: dt.date) -> str:
    lines = [*_head("farshore", date, "keep copies of block volumes at other sites")]
    lines += [".SH SYNOPSIS", ".B farshore", ".I COMMAND", "[\\fIARGUMENTS\\fR]"]
    lines += [".SH DESCRIPTION", *_prose(context.command.help or "")]
    lines += [".SH COMMANDS"]
    for name in names:
        command = root.root.get_command(context, name)
        assert command is not None
        lines += [".TP", f".BR farshore\\-{_text(name)} (1)", _line(command.get_short_help_str(300))]
    lines += [".SH OPTIONS", *_options(context)]
    lines += [".SH ENVIRONMENT", *_terms(_ENVIRONMENT)]
    lines += [".SH FILES", *_terms(_FILES)]
    lines += [".SH EXIT STATUS", *_terms((str(code), text) for code, text in _EXIT)]
    return "\n".join([*lines, *_see_also(names, without="")]) + "\n"


def _page(context: click.Context, names: Sequence[str], date: dt.date) -> str:
    command, name = context.command, context.info_name or ""
    commands = list(_leaves(context))
    lines = [*_head(f"farshore-{name}", date, _summary(command)), ".SH SYNOPSIS"]
    for number, each in enumerate(commands):
        lines += [*([".br"] if number else []), *_synopsis(each)]
    lines += [".SH DESCRIPTION", *_prose(command.help or "")]
    if isinstance(command, click.Group):
        lines.append(".SH COMMANDS")
        for each in commands:
            words = each.command_path.removeprefix("farshore ")
            lines += [f".SS {_text(words)}", *_prose(each.command.help or ""), *_options(each)]
    else:
        lines += [".SH OPTIONS", *_options(context)]
    return "\n".join([*lines, *_see_also(names, without=name)]) + "\n"


def _leaves(context: click.Context) -> Iterator[click.Context]:
    """The context itself, or those of a group's commands."""
    command = context.command
    if not isinstance(command, click.Group):
        yield context
        return
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        if found is not None and not found.hidden:
            yield from _leaves(click.Context(found, context, name))


def _head(name: str, date: dt.date, summary: str) -> list[str]:
    title = f'.TH {_text(name.upper())} 1 "{date.isoformat()}" "farshore {__version__}" "Farshore"'
    return [title, ".SH NAME", f"{_text(name)} \\- {_text(summary)}"]


def _summary(command: click.Command) -> str:
    """The first sentence of the help, as the line under NAME has it."""
    first = inspect.cleandoc(command.help or "").partition("\n\n")[0].replace("\n", " ")
    sentence = re.split(r"(?<=[.:;]) ", first)[0].rstrip(".:;")
    return sentence[:1].lower() + sentence[1:]


def _synopsis(context: click.Context) -> list[str]:
    words = [f"\\fB{_text(context.command_path)}\\fR"]
    for piece in context.command.collect_usage_pieces(context):
        words.append(f"\\fI{_text(piece)}\\fR")
    return [" ".join(words)]


def _options(context: click.Context) -> list[str]:
    lines: list[str] = []
    for parameter in context.command.get_params(context):
        record = parameter.get_help_record(context) if isinstance(parameter, click.Option) else None
        if record is not None:
            names, text = record
            lines += [".TP", f"\\fB{_text(names)}\\fR", _line(text or "")]
    return lines


def _terms(terms: Sequence[tuple[str, str]] | Iterator[tuple[str, str]]) -> list[str]:
    lines: list[str] = []
    for name, text in terms:
        lines += [".TP", f"\\fB{_text(name)}\\fR", _line(text)]
    return lines


def _see_also(names: Sequence[str], without: str) -> list[str]:
    others = [f"farshore-{each}" for each in names if each != without]
    found = [*(["farshore"] if without else []), *others]
    lines = [f".BR {_text(each)} (1)," for each in found]
    return [".SH SEE ALSO", *lines[:-1], lines[-1].rstrip(",")]


def _prose(help_text: str) -> list[str]:
    """Paragraphs; click's own mark of a paragraph that is not to be wrapped is honoured."""
    lines: list[str] = []
    for number, paragraph in enumerate(inspect.cleandoc(help_text).split("\n\n")):
        if number:
            lines.append(".PP")
        if paragraph.startswith("\b"):
            lines += [".nf", *(_line(each) for each in paragraph.splitlines()[1:]), ".fi"]
        else:
            lines += [_line(each.strip()) for each in paragraph.splitlines()]
    return lines


def _line(text: str) -> str:
    """A line of text, whatever it begins with."""
    escaped = _text(text)
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


def _text(text: str) -> str:
    return text.replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(ga").replace('"', "\\(dq")
