"""The command line's tree: which file holds which command, loaded only when that command is called.

Also the one place where failures become exit codes and text. `run` never raises for what a user can cause.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from farshore import __version__
from farshore.cli import failures
from farshore.cli.options import target_options
from farshore.config import Target

_MONITORING_UNKNOWN = 3
_INTERRUPTED = 130
_COMPLETING = "_FARSHORE_COMPLETE"
"""Set by a shell that asks for completions, as click names it."""

# name -> module:attribute, in the order of the help
_COMMANDS = {
    "demo": "demo:demo",
    "node": "node:node",
    "group": "group:group",
    "link": "link:link",
    "export": "export:export",
    "device": "device:device",
    "status": "status:status",
    "pause": "pause:pause",
    "resync": "resync:resync",
    "repair": "repair:repair",
    "wait": "wait:wait",
    "switchover": "roles:switchover",
    "failover": "roles:failover",
    "failback": "roles:failback",
    "rewind": "rewind:rewind",
    "split-brain": "split_brain:split_brain",
    "rescue": "rescue:rescue",
    "snapshot": "snapshot:snapshot",
    "verify": "verify:verify",
    "drill": "drill:drill",
    "events": "events:events",
    "topology": "topology:topology",
    "check": "check:check",
    "doctor": "doctor:doctor",
    "config": "config:config",
    "support-bundle": "support_bundle:support_bundle",
    "completion": "completion:completion",
}


class LazyGroup(click.Group):
    """A group whose commands are imported one by one, when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(f"farshore.cli.{module}"), attribute)
        if _COMPLETING in os.environ:
            from farshore.cli.completion import fit

            return fit(command)
        return command


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="farshore %(version)s")
@target_options
def root() -> None:
    """Keep copies of block volumes at other sites, in write order, through outages.

    FARSHORE_STATE and FARSHORE_API choose the node, as --state and --api do.
    Exit codes: 0 done, 1 error, 2 usage, 3 not found, 4 refused by a safety check,
    5 permission, 6 peer unreachable, 7 timed out, 8 diverged.
    """


def run(arguments: Sequence[str]) -> int:
    """Carries out one command line; the exit code."""
    code = _run(arguments)
    return 0 if code is None else int(code)


def _run(arguments: Sequence[str]) -> Any:
    from farshore.errors import EXIT_ERROR, FarshoreError

    as_json = "--json" in arguments
    try:
        return root.main(list(arguments), prog_name="farshore", standalone_mode=False, obj=Target())
    except FarshoreError as error:
        failures.show(error, as_json=as_json)
        return error.code.exit_code
    except click.ClickException as error:
        error.show()
        # A monitoring system reads 1 and 2 as findings about the data, which a refused check has not made.
        ctx = getattr(error, "ctx", None)
        return _MONITORING_UNKNOWN if ctx is not None and ctx.info_name == "check" else error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("farshore: interrupted", err=True)
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has seen enough. Nothing may be written to the pipe at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_ERROR
