"""`farshore link`: directed edges from a group's copy here to a copy at another node."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from farshore.cli import output, polling, status_text
from farshore.cli.options import DSCP, DURATION, EVERY, RATE, SIZE, Unit, connect, json_option, target_options
from farshore.model import units

_ONE_OF: dict[str, tuple[str, ...]] = {
    "mode": ("sync", "async"),
    "ack": ("received", "applied", "durable"),
    "on-outage": ("continue", "freeze"),
    "apply": ("direct", "journal"),
    "first": ("full", "digest"),
    "wire": ("tls", "plain"),
    "compress": ("none", "zstd"),
    "on-full": ("log", "block"),
}
_WITH_UNIT: dict[str, Unit] = {
    "queue-memory": SIZE,
    "queue-disk": SIZE,
    "rpo": DURATION,
    "max-rate": RATE,
    "verify-every": EVERY,
    "dscp": DSCP,
}
_HELP = {
    "mode": "Whether a write waits for the peer (sync) or not (async, the default).",
    "ack": "What a sync peer has done when a write returns; default applied.",
    "on-outage": "What a sync link does to writes while the peer is lost; default continue.",
    "apply": "Whether the peer writes to its volumes at once or to a journal first; default journal if async."
    " Holds from the next connection on.",
    "first": "How a blank peer gets its copy; default full.",
    "wire": "Encryption of the stream; default tls.",
    "queue-memory": "Most bytes queued in memory; default 64MiB.",
    "queue-disk": "Most bytes queued on disk behind that, in order; default 0, no disk queue.",
    "on-full": "What happens when the queues are full: log and copy later, or block writes; default log.",
    "rpo": "The lag that is still fine; default 30s.",
    "max-rate": "Most bytes per second, as in 10MiB/s or 100Mbit/s; 0 is no bound.",
    "verify-every": "How often the peer's copy is compared with ours by itself; default 0, never.",
    "compress": "Compression on the line; default none. Holds from the next connection on.",
    "dscp": "Traffic class of the packets: 0 to 63, or a name such as af21 or cs1.",
}


@click.group()
@target_options
def link() -> None:
    """Links that carry a group's writes to another node."""


def _option_flags(function: Callable[..., None]) -> Callable[..., None]:
    """One flag for each option of a link; what is not said is left to the node."""
    autosync = click.option(
        "--autosync/--no-autosync",
        default=None,
        help="Catch up by itself when the peer is back; default yes.",
    )
    function = autosync(function)
    for name, kind in reversed(_WITH_UNIT.items()):
        function = click.option(f"--{name}", type=kind, help=_HELP[name])(function)
    for name, words in reversed(_ONE_OF.items()):
        function = click.option(f"--{name}", type=click.Choice(words), help=_HELP[name])(function)
    return function


@link.command()
@click.argument("group")
@click.argument("node")
@click.option("--name", metavar="LINK", help="Default: the node's name.")
@click.option(
    "--via", metavar="NODE[/COPY]", help="The node whose copy of GROUP feeds the new one; default: this one."
)
@click.option(
    "--place", "places", multiple=True, metavar="VOLUME=PATH", help="Where the volume's copy lies there."
)
@_option_flags
@json_option
@target_options
def create(group: str, node: str, as_json: bool, **options: Any) -> None:
    """Place a copy of GROUP at NODE and keep it up to date.

    It is fed by the copy of GROUP here, be that the primary or itself a secondary, or with --via by the one
    at another node. Without --place the copy lies in the peer's own volumes directory.
    """
    name, via, places = options.pop("name"), options.pop("via"), parse_places(options.pop("places"))
    given = {key: value for key, value in options.items() if value is not None}
    wish: dict[str, Any] = {"name": name, "places": places, "options": given}
    if via is None:
        document = connect().create_link(group, node, **wish)
    else:
        document = connect().create_hop(group, node, via, **wish)
    if as_json:
        output.emit(document)
        return
    made = document.get("name") or name or node
    if document.get("via"):
        output.note(
            f"link {group}/{made} from {document['via']} to {node} is made; next: farshore link list {group}"
        )
        return
    output.note(
        f"link {group}/{made} to {node} is made; next: farshore wait {group}; farshore status {group}"
    )


@link.command("list")
@click.argument("group", required=False)
@json_option
@target_options
def list_links(group: str | None, as_json: bool) -> None:
    """Show the links of GROUP, or of all groups."""
    node = connect()
    status = node.status(group)
    if group:
        polling.the_group(status, group)
    names = dict.fromkeys(each.name for each in status.groups if each.id is not None)
    found = [{"group": name, **link} for name in names for link in node.links(name)["links"]]
    if as_json:
        output.emit({"links": found})
        return
    routed = {(each["group"], each.get("name")): _routed(each) for each in found}
    rows = [
        (
            each.name,
            one.name,
            one.peer,
            one.mode,
            _state(one.state) + routed.get((each.name, one.name), ""),
            "-",
        )
        for each in status.groups
        for one in each.links
    ]
    hops = [each for each in found if each.get("via")]
    rows += [
        (
            each["group"],
            each["name"],
            each["peer"],
            each["options"]["mode"],
            _state(each["state"]) + _routed(each),
            each["via"],
        )
        for each in hops
    ]
    head = ("GROUP", "LINK", "PEER", "MODE", "STATE", "VIA")
    shown = len(head) if hops else len(head) - 1
    output.table(head[:shown], [row[:shown] for row in rows], empty="no links")


def _state(state: str | None) -> str:
    return status_text.paint(state, output.colour())


def _routed(link: Mapping[str, Any]) -> str:
    """What a state is to be followed by."""
    if link.get("rerouting"):
        return f", being rerouted to {link['rerouting']}"
    begins_here = not link.get("via")
    return f", rerouted: fed by {link['left_for']}" if begins_here and link.get("left_for") else ""


@link.command()
@click.argument("group")
@click.argument("name", metavar="LINK")
@json_option
@target_options
def show(group: str, name: str, as_json: bool) -> None:
    """Show one link with its options."""
    document = connect().link(group, name)
    if as_json:
        output.emit(document)
    else:
        output.say("\n".join(status_text.table(("WHAT", "VALUE"), _flattened(document))))


@link.command("set")
@click.argument("group")
@click.argument("name", metavar="LINK")
@click.argument("settings", nargs=-1, required=True, metavar="OPTION=VALUE...")
@json_option
@target_options
def set_link(group: str, name: str, settings: tuple[str, ...], as_json: bool) -> None:
    """Change options of a link, as in: set orders b mode=async max-rate=100Mbit/s."""
    document = connect().set_link(group, name, dict(parse_setting(each) for each in settings))
    if as_json:
        output.emit(document)
    else:
        output.note(f"link {group}/{name}: {', '.join(settings)}")


@link.command()
@click.argument("group")
@click.argument("name", metavar="LINK")
@click.option(
    "--via",
    required=True,
    metavar="NODE[/COPY]",
    help="The node whose copy of GROUP feeds the far one from now on: this one, or one that it feeds.",
)
@json_option
@target_options
def reroute(group: str, name: str, via: str, as_json: bool) -> None:
    """Have the far copy of LINK fed by another copy of GROUP, as when the node between is lost.

    The far copy follows nobody else from then on; who fed it before is refused, and keeps what it knows for a
    way back. What the far copy lacks is found by its scoreboard, or by comparing digests where none fits.
    """
    document = connect().reroute_link(group, name, via)
    if as_json:
        output.emit(document)
        return
    output.note(f"link {group}/{name} begins at {document['via']} now; next: farshore topology {group}")
    if not document["old_feeder_told"]:
        output.note("its old feeder could not be told, and is refused by the far copy when it comes back")


@link.command()
@click.argument("group")
@click.argument("name", metavar="LINK")
@target_options
def delete(group: str, name: str) -> None:
    """Remove a link. The peer's volumes keep what they hold and are updated no more."""
    told = connect().delete_link(group, name)
    output.note(f"link {group}/{name} is removed; the volumes at the peer were not touched")
    if not told:
        output.note(
            f"the peer could not be told and keeps its copy; next, there: farshore group delete {group}"
        )


def parse_setting(text: str) -> tuple[str, Any]:
    """`OPTION=VALUE` as a field of the link's options and its value."""
    name, equals, value = text.partition("=")
    name = name.strip().replace("_", "-")
    known = (*_ONE_OF, *_WITH_UNIT, "autosync")
    if not equals or name not in known:
        raise click.BadParameter(f"{text!r} is not OPTION=VALUE with one of {', '.join(known)}")
    if name == "autosync":
        words = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}
        if value not in words:
            raise click.BadParameter(f"autosync is yes or no, not {value!r}")
        return name, words[value]
    if name in _ONE_OF:
        if value not in _ONE_OF[name]:
            raise click.BadParameter(f"{name} is one of {', '.join(_ONE_OF[name])}, not {value!r}")
        return name.replace("-", "_"), value
    return name.replace("-", "_"), _WITH_UNIT[name].convert(value, None, None)


def parse_places(places: tuple[str, ...]) -> dict[str, str]:
    """All --place of a command."""
    found: dict[str, str] = {}
    for each in places:
        volume, equals, path = each.partition("=")
        if not equals or not volume or not path.startswith("/"):
            raise click.BadParameter(f"{each!r} is not VOLUME=/PATH", param_hint="--place")
        if volume in found:
            raise click.BadParameter(f"{volume} has two places", param_hint="--place")
        found[volume] = path
    return found


def _flattened(document: Mapping[str, Any], above: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in document.items():
        name = f"{above}{key.replace('_', '-')}"
        if isinstance(value, Mapping):
            rows += _flattened(value, f"{name}.")
        elif name != "schema":
            rows.append((name, _shown(key, value)))
    return rows


def _shown(key: str, value: object) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        if key == "max_rate":
            return units.format_rate(value) if value else "no bound"
        if key in ("queue_memory", "queue_disk") or key.endswith("_bytes"):
            return units.format_size(value)
        if key in ("rpo", "verify_every") or key.endswith("_seconds"):
            return units.format_duration(value)
    return str(value)
