"""`farshore completion SHELL`, and the names that only a node knows.

Shells ask the command line itself, through click: it knows every word and option. Names of groups, volumes,
links and peers are asked of the node, which gets half a second: nobody waits for a completion, and one that
cannot be had is none. Nothing of this is looked at in any other call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import click
from click.shell_completion import CompletionItem, get_completion_class

from farshore.cli import output
from farshore.cli.options import target_of, target_options
from farshore.client import Node
from farshore.errors import FarshoreError

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_FARSHORE_COMPLETE"
_PATIENCE = 0.5

Completer = Callable[[click.Context, str], list[CompletionItem]]


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@target_options
def completion(shell: str) -> None:
    """Print what SHELL needs to complete farshore's words, options and names.

    \b
    bash   eval "$(farshore completion bash)"       in ~/.bashrc
    zsh    eval "$(farshore completion zsh)"        in ~/.zshrc, behind compinit
    fish   farshore completion fish | source        in ~/.config/fish/config.fish

    Debian's package brings them along.
    """
    root = click.get_current_context().find_root().command
    output.say(script(shell, root))


def script(shell: str, root: click.Command) -> str:
    """The text that a shell is to read."""
    kind = get_completion_class(shell)
    assert kind is not None
    made = kind(root, {}, "farshore", VARIABLE)
    return made.source_template % made.source_vars()


def fit(command: click.Command) -> click.Command:
    """Teaches a command's parameters the names that they stand for."""
    for parameter in command.params:
        completer = _completer(parameter)
        if completer is not None:
            parameter.shell_complete = completer  # type: ignore[assignment,method-assign]
    if isinstance(command, click.Group):
        for name, each in command.commands.items():
            if (command.name, name) != ("group", "create"):  # whose name is a new one
                fit(each)
    return command


def groups_and_volumes(ctx: click.Context, text: str) -> list[CompletionItem]:
    """GROUP, and GROUP/VOLUME once the slash is there."""
    found: list[str] = []
    for group in _asked(ctx, lambda node: node.groups().get("groups", ())):
        if "/" in text:
            found += [f"{group['name']}/{each['name']}" for each in group.get("volumes", ())]
        else:
            found.append(group["name"])
    return _items(found, text)


def _completer(parameter: click.Parameter) -> Completer | None:
    if isinstance(parameter, click.Option):
        return _links if parameter.name == "link" else None
    shown = parameter.metavar or (parameter.name or "").upper()
    return {
        "GROUP": _groups,
        "GROUP[/VOLUME]": groups_and_volumes,
        "LINK": _links,
        "NAME": _groups,
        "NODE": _peers,
        "VOLUME": _volumes,
    }.get(shown)


def _groups(ctx: click.Context, text: str) -> list[CompletionItem]:
    return [] if "/" in text else groups_and_volumes(ctx, text)


def _peers(ctx: click.Context, text: str) -> list[CompletionItem]:
    return _items((each["name"] for each in _asked(ctx, lambda node: node.peers().document["nodes"])), text)


def _links(ctx: click.Context, text: str) -> list[CompletionItem]:
    group = ctx.params.get("group")
    if not group:
        return []
    found = _asked(ctx, lambda node: node.links(str(group)).get("links", ()))
    return _items((each["name"] for each in found), text)


def _volumes(ctx: click.Context, text: str) -> list[CompletionItem]:
    group = ctx.params.get("name") or ctx.params.get("group")
    groups = _asked(ctx, lambda node: node.groups().get("groups", ()))
    names = (each["name"] for one in groups if one["name"] == group for each in one.get("volumes", ()))
    return _items(names, text)


def _asked(ctx: click.Context, question: Callable[[Node], Iterable[Any]]) -> list[Any]:
    target = target_of(ctx)
    try:
        return list(question(Node(target.state, target.api, timeout=_PATIENCE)))
    except (FarshoreError, KeyError, TypeError):
        return []  # a line that is being typed is no place for complaints


def _items(names: Iterable[str], text: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names if name.startswith(text)]
