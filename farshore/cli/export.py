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
from farshore.errors import FarshoreError

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
    subcommand_metavar="GROUP[/VOLUME] | create | list | delete | allow | disallow | clients",
)
@target_options
def export() -> None:
    """Make volumes available to NBD clients.

    `farshore export GROUP[/VOLUME]` prints one address per volume; see `farshore export create --help`.
    """


@export.command()
@click.argument("what", metavar="GROUP[/VOLUME]")
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
@click.option("--read-only", is_flag=True, help="Refuse writes.")
@json_option
@target_options
def create(what: str, kind: str, as_json: bool, certificates: str | None, **how: Any) -> None:
    """Make a volume, or all of a group, available and print how it is opened.

    --format fstab is for volumes that are attached (`farshore device attach`) and makes no other export.
    """
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
    made = connect().create_export(group, volume, **how)
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


for each in (export_client.allow, export_client.disallow, export_client.clients):
    export.add_command(each)


def split(what: str) -> tuple[str, str | None]:
    """The group and the volume of `GROUP[/VOLUME]`."""
    group, slash, volume = what.partition("/")
    if not group or (slash and not volume) or "/" in volume:
        raise click.BadParameter(f"{what!r} is not GROUP or GROUP/VOLUME")
    return group, volume or None
