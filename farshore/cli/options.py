"""Options and kinds of values that several commands share.

`--state` and `--api` are accepted before and after the command's name; the last one said counts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from farshore.client import Node
from farshore.config import Target
from farshore.model import units

F = TypeVar("F", bound=Callable[..., Any])


def target_options(function: F) -> F:
    """Adds --state and --api, which `connect` reads."""
    for name, metavar, text in (
        ("--api", "ADDRESS", "The node's API: unix:PATH or HOST:PORT."),
        ("--state", "DIR", "The node's state directory."),
    ):
        function = click.option(
            name, metavar=metavar, help=text, expose_value=False, callback=_remember, is_eager=True
        )(function)
    return function


def json_option(function: F) -> F:
    """Adds --json as the parameter `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")(function)


def target_of(ctx: click.Context) -> Target:
    """Which node the command line means."""
    return ctx.ensure_object(Target)


def connect() -> Node:
    """The node that the running command speaks to."""
    target = target_of(click.get_current_context())
    return Node(target.state, target.api)


def _remember(ctx: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None and parameter.name is not None:
        if not value:
            raise click.BadParameter("is empty", ctx=ctx, param=parameter)
        setattr(target_of(ctx), parameter.name, value)


class Unit(click.ParamType[Any]):
    """A value with a unit, read by a function of `farshore.model.units`."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _rate(text: str) -> int:
    return 0 if text in ("0", "none") else units.parse_rate(text)


def _every(text: str) -> float:
    return 0.0 if text in ("0", "never") else units.parse_duration(text)


SIZE = Unit("size", units.parse_size)
RATE = Unit("rate", _rate)
DURATION = Unit("duration", units.parse_duration)
EVERY = Unit("duration", _every)
"""How often; 0 and `never` are no rhythm."""
DSCP = Unit("dscp", units.parse_dscp)
