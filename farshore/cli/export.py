"""`farshore export`: volumes that applications open over NBD.

`farshore export GROUP[/VOLUME]` makes the export and prints its address; `list` and `delete` are words of
this command, so a group of such a name is exported with `farshore export create`.
"""

from __future__ import annotations

import click

from farshore.cli import output
from farshore.cli.options import connect, json_option, target_options


class _ExportGroup(click.Group):
    """Without one of our own words on the line, the line says what is to be exported."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and not any(word in self.commands or word in ("-h", "--help") for word in args):
            args = ["create", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_ExportGroup, subcommand_metavar="GROUP[/VOLUME] | create | list | delete")
@target_options
def export() -> None:
    """Make volumes available to NBD clients.

    `farshore export GROUP[/VOLUME]` prints one address per volume; see `farshore export create --help`.
    """


@export.command()
@click.argument("what", metavar="GROUP[/VOLUME]")
@click.option("--format", "kind", type=click.Choice(["uri"]), default="uri", show_default=True)
@click.option("--tcp", metavar="HOST:PORT", help="Listen there instead of on a Unix socket.")
@click.option("--read-only", is_flag=True, help="Refuse writes.")
@json_option
@target_options
def create(what: str, kind: str, tcp: str | None, read_only: bool, as_json: bool) -> None:
    """Make a volume, or all of a group, available and print how it is opened."""
    group, volume = split(what)
    exports = connect().create_export(group, volume, tcp=tcp, read_only=read_only)
    if as_json:
        output.emit(exports.document)
    elif kind == "uri":
        for each in exports.exports:
            output.say(each.uri)


@export.command("list")
@json_option
@target_options
def list_exports(as_json: bool) -> None:
    """Show what NBD clients can open at this node."""
    exports = connect().exports()
    if as_json:
        output.emit(exports.document)
        return
    rows = [
        (e.group, e.volume, "read only" if e.read_only else "read, write", e.uri) for e in exports.exports
    ]
    output.table(("GROUP", "VOLUME", "ACCESS", "OPENED AS"), rows, empty="no exports")


@export.command()
@click.argument("what", metavar="GROUP[/VOLUME]")
@click.option("--tcp", metavar="HOST:PORT", help="Only the export that listens there.")
@target_options
def delete(what: str, tcp: str | None) -> None:
    """Take an export back. Clients that have it open are disconnected."""
    group, volume = split(what)
    connect().delete_export(group, volume, tcp=tcp)
    output.note(f"{what} is exported no more")


def split(what: str) -> tuple[str, str | None]:
    """The group and the volume of `GROUP[/VOLUME]`."""
    group, slash, volume = what.partition("/")
    if not group or (slash and not volume) or "/" in volume:
        raise click.BadParameter(f"{what!r} is not GROUP or GROUP/VOLUME")
    return group, volume or None
