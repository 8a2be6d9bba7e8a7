"""`farshore device`: volumes as block devices or files of this host, for programs that do not speak NBD."""

from __future__ import annotations

from typing import Any

import click

from farshore.cli import output
from farshore.cli.export import split
from farshore.cli.options import DURATION, connect, json_option, target_options
from farshore.cli.status_text import paint
from farshore.client.answers import Device
from farshore.model.units import format_size

_WAYS = ["auto", "kernel", "loop", "file"]


@click.group()
@target_options
def device() -> None:
    """Volumes as devices of this host: any program can use them, file systems too."""


@device.command()
@click.argument("what", metavar="GROUP[/VOLUME]")
@click.option("--at", metavar="PATH", help="Make a link to the device there.")
@click.option(
    "--way",
    type=click.Choice(_WAYS),
    default="auto",
    show_default=True,
    help="A loop device, for root, or a file; auto takes the first that is permitted. kernel is refused.",
)
@click.option(
    "--hold",
    type=DURATION,
    help="How long requests wait for an engine that is away before they fail; default 10m, or as set.",
)
@click.option("--read-only", is_flag=True, help="Refuse writes.")
@json_option
@target_options
def attach(what: str, as_json: bool, **wish: Any) -> None:
    """Attach a volume, or all of a group, and print what programs open.

    It stays attached, also through restarts of engine, node and host, until it is detached.
    """
    group, volume = split(what)
    attached = connect().attach_device(group, volume, **wish)
    if as_json:
        output.emit(attached.document)
        return
    for each in attached.devices:
        output.say(each.at or each.path or "-")
        for text in _remarks(each):
            output.note(f"{each.group}/{each.volume}: {text}")


@device.command()
@click.argument("what", metavar="GROUP[/VOLUME]")
@json_option
@target_options
def detach(what: str, as_json: bool) -> None:
    """Detach a volume, or all of a group. Refused while it is mounted or open."""
    detached = connect().detach_device(*split(what))
    if as_json:
        output.emit(detached.document)
        return
    for each in detached.devices:
        output.note(f"{each.group}/{each.volume} is detached")


@device.command("list")
@json_option
@target_options
def list_devices(as_json: bool) -> None:
    """Show what is attached on this host, and how it stands."""
    found = connect().devices()
    if as_json:
        output.emit(found.document)
        return
    rows = [
        (
            f"{each.group}/{each.volume}",
            each.path or "-",
            paint(each.state, output.colour()),
            "-" if each.size is None else format_size(each.size),
            each.way or "-",
            "read only" if each.read_only else "read, write",
            each.at or "-",
        )
        for each in found.devices
    ]
    head = ("VOLUME", "DEVICE", "STATE", "SIZE", "WAY", "ACCESS", "LINK")
    output.table(head, rows, empty="no devices; next: farshore device attach GROUP/VOLUME")
    for each in found.devices:
        for text in _remarks(each):
            output.note(f"{each.group}/{each.volume}: {text}")


def _remarks(device: Device) -> list[str]:
    said = [device.why] if device.why else []
    if device.next:
        said.append(f"next: {device.next}")
    return said + _not_permitted(device)


def _not_permitted(device: Device) -> list[str]:
    """What could make writeback through the device wait for itself when memory is short."""
    kinds = (("its memory is not locked", device.locked), ("it is no I/O flusher", device.flusher))
    return [what if why is False else f"{what}: {why}" for what, why in kinds if why not in (None, True)]
