"""`farshore group`: volumes that keep one write order."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import click

from farshore.cli import output, polling, status_text
from farshore.cli.link import parse_places
from farshore.cli.options import SIZE, connect, json_option, target_options
from farshore.model import units
from farshore.model.options import MAX_REGION, MIN_REGION

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_UNFIT = re.compile(r"[^a-z0-9._-]+")
_VOLUME = "[NAME=]PATH[,size=SIZE][,outage=log|ignore]"


@click.group()
@target_options
def group() -> None:
    """Groups of volumes that keep one write order and change state together."""


@group.command()
@click.argument("name")
@click.option("--volume", "volumes", multiple=True, required=True, metavar=_VOLUME, help="May be repeated.")
@click.option("--region", type=SIZE, metavar="SIZE", help="Bytes per scoreboard bit; default 32KiB.")
@click.option(
    "--on-start", type=click.Choice(["wait", "alone"]), help="After a boot: wait for the peers or not."
)
@json_option
@target_options
def create(
    name: str, volumes: tuple[str, ...], region: int | None, on_start: str | None, as_json: bool
) -> None:
    """Make a group of files or block devices on this node, as its primary.

    A volume is used as it is: nothing is written into it. Where size= is given, a missing file is made.
    """
    if region is not None and not (MIN_REGION <= region <= MAX_REGION and region & (region - 1) == 0):
        raise click.BadParameter("a power of two from 4KiB to 1MiB", param_hint="--region")
    wanted = [parse_volume(each) for each in volumes]
    node = connect()
    document = node.create_group(name, wanted, region=region, on_start=on_start)
    if as_json:
        output.emit(document)
    else:
        output.note(
            f"group {name} takes writes; next: farshore export {name}; farshore link create {name} NODE"
        )


@group.command()
@click.argument("name")
@click.option("--volume", "volumes", multiple=True, required=True, metavar=_VOLUME, help="May be repeated.")
@click.option(
    "--place",
    "places",
    multiple=True,
    metavar="[LINK:]VOLUME=PATH",
    help="Where the volume's copy lies at the link's peer.",
)
@json_option
@target_options
def add(name: str, volumes: tuple[str, ...], places: tuple[str, ...], as_json: bool) -> None:
    """Give a group more volumes, here and at the peers, while all its links are paused.

    The group's engine is restarted, so its clients have to connect again.
    """
    wanted = [parse_volume(each) for each in volumes]
    document = connect().add_volumes(name, wanted, places=parse_places(places))
    if as_json:
        output.emit(document)
    else:
        output.note(f"group {name} has {len(document['volumes'])} volumes; next: farshore resync {name}")


@group.command()
@click.argument("name")
@click.argument("volume")
@json_option
@target_options
def remove(name: str, volume: str, as_json: bool) -> None:
    """Take a volume out of a group, here and at the peers, while all its links are paused.

    What it holds stays where it is. The group's engine is restarted, so its clients have to connect again.
    """
    told = connect().remove_volume(name, volume)
    if as_json:
        output.emit({"name": name, "volume": volume, "peers_told": told})
        return
    later = "" if told else "; a peer is out of reach and is told later (farshore events)"
    output.note(f"{volume} belongs to {name} no more{later}; next: farshore resync {name}")


@group.command()
@click.argument("name")
@click.argument("volume")
@click.argument("size", type=SIZE)
@json_option
@target_options
def resize(name: str, volume: str, size: int, as_json: bool) -> None:
    """Make a volume of a group larger while it is used, at every copy. No volume becomes smaller.

    Files are made longer; devices have to be that large already, at every node. Copies that are out of
    reach hinder it. What a file system on the volume makes of it is its own affair (resize2fs, say).
    """
    document = connect().resize_volume(name, volume, size)
    if as_json:
        output.emit(document)
    else:
        output.note(f"{volume} of {name} has {units.format_size(document['size'])} now, at every copy")


@group.command("list")
@json_option
@target_options
def list_groups(as_json: bool) -> None:
    """Show all groups that have a copy on this node."""
    node = connect()
    if as_json:
        output.emit(node.groups())
        return
    status = node.status()
    rows = [
        (
            title,
            each.role or "-",
            status_text.paint(each.health, output.colour()),
            ", ".join(volume.name for volume in each.volumes),
            ", ".join(f"{link.name} {link.state or '-'}" for link in each.links) or "-",
        )
        for each, title in zip(status.groups, status_text.titles(status.document), strict=True)
    ]
    output.table(("GROUP", "ROLE", "HEALTH", "VOLUMES", "LINKS"), rows, empty="no groups")


@group.command()
@click.argument("name")
@json_option
@target_options
def show(name: str, as_json: bool) -> None:
    """Show one group: its volumes, links and state."""
    node = connect()
    if as_json:
        output.emit(node.group(name))
        return
    status = node.status(name)
    polling.the_group(status, name)
    output.say(status_text.render(status.document, colour=output.colour()).rstrip("\n"))


@group.command("set")
@click.argument("name")
@click.argument("settings", nargs=-1, required=True, metavar="preserve=SIZE")
@json_option
@target_options
def set_group(name: str, settings: tuple[str, ...], as_json: bool) -> None:
    """Change what holds for the copies of group NAME at this node.

    preserve=SIZE bounds what they keep of old content: undos, snapshots, drills. 0 stands for as much as the
    volumes have, which is the default.
    """
    key, equals, value = settings[-1].partition("=")
    if len(settings) > 1 or not equals or key != "preserve":
        raise click.BadParameter(f"{' '.join(settings)!r} is not preserve=SIZE")
    size = 0 if value == "0" else SIZE.convert(value, None, None)
    done = connect().bound_preserve(name, size)
    if as_json:
        output.emit(done)
    else:
        output.note(f"what copies of {name} keep here is bounded by {value if size else 'their volumes'}")


@group.command()
@click.argument("name")
@target_options
def delete(name: str) -> None:
    """Forget a group at this node. Volumes stay as they are; links have to be deleted first."""
    connect().delete_group(name)
    output.note(f"group {name} is forgotten; its volumes were not touched")


def parse_volume(text: str) -> dict[str, Any]:
    """One --volume. The path becomes absolute here, since the node runs in another directory."""
    rest, given = text, {}
    while True:
        head, comma, last = rest.rpartition(",")
        key, equals, value = last.partition("=")
        if not comma or not equals or key not in ("size", "outage"):
            break
        if key in given:
            raise click.BadParameter(f"{text!r} says {key} twice", param_hint="--volume")
        given[key], rest = value, head
    name, equals, path = rest.partition("=")
    if not equals or not _NAME.fullmatch(name):
        name, path = "", rest
    if not path:
        raise click.BadParameter(f"{text!r} has no path", param_hint="--volume")
    volume: dict[str, Any] = {"name": name or _named_after(path), "path": os.path.abspath(path)}  # noqa: PTH100
    if "size" in given:
        try:
            volume["size"] = units.parse_size(given["size"])
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--volume") from error
    if given.get("outage", "log") not in ("log", "ignore"):
        raise click.BadParameter("outage is log or ignore", param_hint="--volume")
    volume["outage"] = given.get("outage", "log")
    return volume


def _named_after(path: str) -> str:
    name = _UNFIT.sub("-", Path(path).stem.lower()).lstrip("._-")[:63]
    if not name:
        raise click.BadParameter(f"{path!r} gives no name; write NAME={path}", param_hint="--volume")
    return name
