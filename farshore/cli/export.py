"""`farshore export`: volumes that applications open over NBD.

`farshore export GROUP[/VOLUME]` makes the export and prints how it is opened. `list`, `delete` and those of
`export_client` are words of this command: a group of such a name is exported with `farshore export create`.
"""

from __future__ import annotations

from typing import Any

import click
from click.shell_completion import CompletionItem

from farshore.cli import export_client, export_text, fstab, output
from farshore.cli.options import connect, json_option, target_options
from farshore.client.answers import Export
from farshore.errors import FarshoreError

_copy_option = click.option(
    "--copy", "copy_name", metavar="COPY", help="Which copy, where this node holds several."
)
_LOOPBACK = ("127.", "localhost:", "[::1]:")


class _ExportGroup(click.Group):
    """Without one of our own words on the line, the line says what is to be exported."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and not any(word in self.commands or word in ("-h", "--help") for word in args):
            args = ["create", *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Groups as well as words."""
        from farshore.cli.completion import groups_and_volumes

        return [*super().shell_complete(ctx, incomplete), *groups_and_volumes(ctx, incomplete)]


@click.group(
    cls=_ExportGroup,
    subcommand_metavar="GROUP[/VOLUME][@SNAPSHOT] | create | list | delete | allow | disallow | clients",
)
@target_options
def export() -> None:
    """Make volumes available to NBD clients.

    `farshore export GROUP[/VOLUME][@SNAPSHOT]` prints one address per volume; see `farshore export create
    --help`.
    """


@export.command()
@click.argument("what", metavar="GROUP[/VOLUME][@SNAPSHOT]")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["uri", "qemu", "libvirt", "fstab"]),
    default="uri",
    show_default=True,
    help="Whose words are printed.",
)
@click.option("--tcp", metavar="HOST:PORT", help="Listen there instead of on a Unix socket.")
@click.option("--tls", is_flag=True, help="On --tcp: TLS only, for clients of `farshore export allow`.")
@click.option(
    "--tls-name",
    "names",
    multiple=True,
    metavar="HOST",
    help="Another name of this host, for clients.",
)
@click.option(
    "--certificates",
    metavar="DIR",
    help="Where the client keeps what `allow` wrote.",
)
@click.option(
    "--mount", metavar="DIR", help="With --format fstab: where to mount; default /srv/GROUP-VOLUME."
)
@click.option("--read-only", is_flag=True, help="Refuse writes. At a secondary: what it has applied so far.")
@_copy_option
@json_option
@target_options
def create(what: str, kind: str, as_json: bool, certificates: str | None, **how: Any) -> None:
    """Make a volume, or all of a group, available and print how it is opened.

    A secondary's volumes can only be read (--read-only), and so can a snapshot or a rescue, named behind an
    @.

    --format fstab is for volumes that are attached (`farshore device attach`) and makes no other export.
    """
    what, which = state_of(what, how.pop("copy_name"))
    group, volume = split(what)
    mount = how.pop("mount")
    if kind == "fstab":
        _print_fstab(group, volume, mount, as_json=as_json)
        return
    if mount is not None:
        raise click.UsageError("--mount is for --format fstab")
    names, tls = list(how.pop("names")), how.pop("tls")
    if tls or names:  # words that a node from before TLS does not know
        how |= {"tls": tls, "names": names}
    made = connect().create_export(group, volume, **how, **which)
    readers = [export_text.Reader(certificates, disks) for disks in range(1, len(made.exports) + 1)]
    texts = [export_text.text(kind, each, reader) for each, reader in zip(made.exports, readers, strict=True)]
    if as_json:
        shown = [{**each, "text": text} for each, text in zip(made.document["exports"], texts, strict=True)]
        output.emit({**made.document, "exports": shown})
        return
    for text in texts:
        output.say(text)
    if any(not each.tls and each.tcp and not each.tcp.startswith(_LOOPBACK) for each in made.exports):
        output.note("whoever reaches that address opens it, in the clear; --tls wants a certificate")


def _print_fstab(group: str, volume: str | None, mount: str | None, *, as_json: bool) -> None:
    node = connect()
    node.group(group)  # a group that is not there is an error of its own
    found = [each for each in node.devices().devices if each.group == group and volume in (None, each.volume)]
    if not found:
        what = group if volume is None else f"{group}/{volume}"
        raise FarshoreError(
            "wrong-state",
            f"{what} is not attached, and only a device can be mounted",
            means="nothing was changed",
            next_step=fstab.attach_command(group, volume or "VOLUME"),
        )
    if mount is not None and (len(found) > 1 or not mount.startswith("/")):
        raise click.BadParameter("is one absolute path, for one volume", param_hint="--mount")
    units = [fstab.unit_of(each.pid) for each in found]
    lines = [
        fstab.line(each, mount or f"/srv/{each.group}-{each.volume}", unit)
        for each, unit in zip(found, units, strict=True)
    ]
    if as_json:
        shown = [
            {"group": each.group, "volume": each.volume, "at": each.at, "text": text}
            for each, text in zip(found, lines, strict=True)
        ]
        output.emit({"schema": 1, "devices": shown})
        return
    for text in lines:
        output.say(text)
    if None in units:
        output.note("the device runs in no unit: a starting host does not wait for it; mount it afterwards")


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
        (e.group, e.volume + (f"@{e.snapshot}" if e.snapshot else ""), _access(e), e.uri)
        for e in exports.exports
    ]
    output.table(("GROUP", "VOLUME", "ACCESS", "OPENED AS"), rows, empty="no exports")


@export.command()
@click.argument("what", metavar="GROUP[/VOLUME][@SNAPSHOT]")
@click.option("--tcp", metavar="HOST:PORT", help="Only the export that listens there.")
@_copy_option
@target_options
def delete(what: str, tcp: str | None, copy_name: str | None) -> None:
    """Take an export back. Clients that have it open are disconnected."""
    named, which = state_of(what, copy_name)
    group, volume = split(named)
    connect().delete_export(group, volume, tcp=tcp, **which)
    output.note(f"{what} is exported no more")


for each in (export_client.allow, export_client.disallow, export_client.clients):
    export.add_command(each)


def _access(export: Export) -> str:
    if export.not_served:
        return f"not served: {export.not_served}"
    if not export.read_only:
        return "read, write"
    return "read only" if export.role == "primary" or export.snapshot else "read only, secondary"


def state_of(what: str, copy_name: str | None) -> tuple[str, dict[str, str]]:
    """`GROUP[/VOLUME]` of what is named, and what of it is meant, in words of the API."""
    named, at, snapshot = what.partition("@")
    if at and not snapshot:
        raise click.BadParameter(f"{what!r} names no snapshot behind its @")
    which = {"snapshot": snapshot} if at else {}
    return named, which | ({"copy_name": copy_name} if copy_name is not None else {})


def split(what: str) -> tuple[str, str | None]:
    """The group and the volume of `GROUP[/VOLUME]`."""
    group, slash, volume = what.partition("/")
    if not group or (slash and not volume) or "/" in volume:
        raise click.BadParameter(f"{what!r} is not GROUP or GROUP/VOLUME")
    return group, volume or None
