"""`farshore node`: this host's node, and the nodes that it has paired with."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import click

from farshore import config
from farshore.cli import output
from farshore.cli.options import DURATION, RATE, connect, json_option, target_of, target_options
from farshore.model.units import format_duration, format_rate

_LONGEST_TOKEN = 4096
_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^\s:\[\]]+):(\d{1,5})")


@click.group()
@target_options
def node() -> None:
    """This host's node, and pairing with others."""


@node.command()
@click.option("--listen", metavar="HOST:PORT", help="Where peers reach this node; default 0.0.0.0:7411.")
@click.option("--name", help="This node's name; default the host's.")
@click.option("--foreground", is_flag=True, help="Stay attached, for a service manager.")
@json_option
@target_options
def start(listen: str | None, name: str | None, foreground: bool, as_json: bool) -> None:
    """Start the node; returns when its API answers.

    What is said here is remembered in the state directory and need not be said again. Engines that run are
    found again.
    """
    from farshore.cli import node_process

    target = target_of(click.get_current_context())
    state = Path(config.state_of(target, os.environ, os.geteuid()))
    api = target.api or (None if target.state else os.environ.get("FARSHORE_API"))
    if listen is not None:
        _host_port(listen, "--listen")
    wanted = node_process.Start(state, api, listen, name)
    if foreground:
        node_process.in_foreground(wanted)
    info = node_process.in_background(wanted)
    if as_json:
        output.emit(info.document)
    else:
        output.note(
            f"node {info.node.name} (pid {info.pid}) listens for peers on {info.listen}, state in {state}"
        )


@node.command()
@click.option("--engines", is_flag=True, help="Stop the engines too: applications lose their volumes.")
@click.option("--devices", is_flag=True, help="Detach devices too, until the next start; not those in use.")
@target_options
def stop(engines: bool, devices: bool) -> None:
    """Stop the node. Its engines run on, and so does replication, unless --engines is said.

    Devices stay attached: while engines are stopped, requests to them wait, and fail after their hold time.
    """
    from farshore.cli import node_process

    connected = connect()
    info = connected.show()
    waiting = connected.devices().devices if engines and not devices else ()
    with node_process.End(info) as end:
        connected.stop(engines=engines, devices=devices)
        end.wait()
    left = "; its engines run on" if not engines else ", engines too"
    output.note(f"node {info.node.name} is stopped{left}" + (", and devices are detached" if devices else ""))
    for each in waiting:
        hold = format_duration(each.hold_seconds or 0)
        output.note(f"{each.group}/{each.volume} is attached and waits: start the node again within {hold}")


@node.command("network-changed")
@target_options
def network_changed() -> None:
    """Try every link at once and tell the peers: for the host's network events.

    packaging/network holds a script that calls this for NetworkManager and networkd-dispatcher.
    """
    connect().network_changed()


@node.command()
@json_option
@target_options
def show(as_json: bool) -> None:
    """Show this node, its engines and its peers."""
    info = connect().show()
    if as_json:
        output.emit(info.document)
        return
    output.say(f"node {info.node.name}  {info.node.id}")
    output.say(f"  pid     {info.pid}")
    output.say(f"  listen  {info.listen or '-'}")
    output.say(f"  api     {info.api}")
    if info.max_rate is not None:
        output.say(f"  sends   at most {format_rate(info.max_rate)}")
    engines = [(each.group, each.copy, str(each.pid or "-"), each.role) for each in info.engines]
    output.table(("GROUP", "COPY", "PID", "ROLE"), engines, empty="no engines")
    peers = [(each.name, _yes(each.connected), each.id) for each in info.peers]
    output.table(("PEER", "CONNECTED", "FINGERPRINT"), peers, empty="no peers")


@node.command("list")
@json_option
@target_options
def list_nodes(as_json: bool) -> None:
    """Show the nodes that this one has paired with."""
    peers = connect().peers()
    if as_json:
        output.emit(peers.document)
        return
    rows = [
        (
            each.name,
            each.address or "-",
            _yes(each.connected),
            "-" if each.max_rate is None else format_rate(each.max_rate),
            ", ".join(each.grants) or "-",
            each.id,
        )
        for each in peers.nodes
    ]
    head = ("NODE", "ADDRESS", "CONNECTED", "MAX RATE", "MAY PLACE COPIES IN", "FINGERPRINT")
    output.table(head, rows, empty="no other nodes; next: farshore node invite")


@node.command()
@click.option("--ttl", type=DURATION, default="10m", show_default=True, help="How long the token is good.")
@json_option
@target_options
def invite(ttl: float, as_json: bool) -> None:
    """Print a token with which one other node can join this one.

    The token is a secret: whoever has it may pair. Hand it over in a file or by FARSHORE_TOKEN.
    """
    invitation = connect().invite(ttl)
    if as_json:
        output.emit(invitation.document)
        return
    output.say(invitation.token)
    output.note(
        f"good for one node and {format_duration(ttl)}; there: farshore node join {invitation.address}"
    )
    output.note(f"this node's fingerprint, for comparing: {invitation.fingerprint}")


@node.command()
@click.argument("address", metavar="HOST:PORT")
@click.option("--token-file", metavar="FILE|-", help="Where the token is; - is stdin.")
@json_option
@target_options
def join(address: str, token_file: str | None, as_json: bool) -> None:
    """Pair with the node at HOST:PORT, which has made an invitation.

    The token comes from --token-file, else from FARSHORE_TOKEN, else it is asked for on the terminal.
    """
    _host_port(address, "HOST:PORT")
    joined = connect().join(address, _token(token_file))
    if as_json:
        output.emit(joined.document)
    else:
        output.note(f"paired with {joined.name} ({joined.id})")


@node.command("set")
@click.argument("name", metavar="NODE")
@click.argument("setting", metavar="address=HOST:PORT|max-rate=RATE")
@target_options
def set_node(name: str, setting: str) -> None:
    """Change where a peer is reached, or how fast all links to it may send together.

    Under this node's own name, max-rate bounds all that it sends. Links share fairly; 0 is no bound.
    """
    key, _, value = setting.partition("=")
    if key == "address":
        _host_port(value, "address")
        connect().set_peer(name, address=value)
        output.note(f"{name} is now reached at {value}")
    elif key == "max-rate":
        rate = RATE.convert(value, None, None)
        connect().set_peer(name, max_rate=rate)
        output.note(f"{name}: {f'at most {format_rate(rate)}' if rate else 'no bound'} from now on")
    else:
        raise click.BadParameter(f"{setting!r} is neither address=HOST:PORT nor max-rate=RATE")


@node.command("rotate-key")
@json_option
@target_options
def rotate_key(as_json: bool) -> None:
    """Not available yet: always refused, and changes nothing.

    The way to a new key goes through a new node: docs/cli.md lists the steps.
    """
    output.emit(connect().rotate_key())


@node.command()
@click.argument("name", metavar="NODE")
@target_options
def forget(name: str) -> None:
    """End the pairing with a node. Links to it have to be deleted first."""
    connect().forget(name)
    output.note(f"{name} is forgotten: it can neither connect nor place copies here")


@node.command()
@click.argument("name", metavar="NODE")
@click.option("--path", required=True, metavar="GLOB", help="As in /srv/copies/*.img or /dev/vg0/*.")
@target_options
def allow(name: str, path: str) -> None:
    """Let a peer place copies in files or devices that match GLOB.

    Without any grant it may use this node's own volumes directory and nothing else.
    """
    _absolute(path)
    connect().allow(name, path)
    output.note(f"{name} may place copies in {path}")


@node.command()
@click.argument("name", metavar="NODE")
@click.option("--path", required=True, metavar="GLOB", help="As it was allowed.")
@target_options
def disallow(name: str, path: str) -> None:
    """Take a grant back. Copies that are there stay and are still updated."""
    _absolute(path)
    connect().disallow(name, path)
    output.note(f"{name} may place no new copies in {path}")


def _absolute(path: str) -> None:
    if not path.startswith("/"):
        raise click.BadParameter(f"{path!r} does not begin with /", param_hint="--path")


def _host_port(text: str, where: str) -> None:
    match = _HOST_PORT.fullmatch(text)
    if match is None or int(match[2]) > 65535:
        raise click.BadParameter(f"{text!r} is not HOST:PORT", param_hint=where)


def _token(token_file: str | None) -> str:
    """The token, from a place where no other user can read it."""
    if token_file == "-":
        token = sys.stdin.read(_LONGEST_TOKEN)
    elif token_file is not None:
        try:
            with open(token_file, encoding="utf-8") as file:
                token = file.read(_LONGEST_TOKEN)
        except (OSError, UnicodeDecodeError) as error:
            raise click.BadParameter(f"cannot be read: {error}", param_hint="--token-file") from error
    elif os.environ.get("FARSHORE_TOKEN"):
        token = os.environ["FARSHORE_TOKEN"]
    elif sys.stdin.isatty():
        token = click.prompt("Token", hide_input=True, err=True)
    else:
        raise click.UsageError("no token: give --token-file FILE, or - for stdin, or set FARSHORE_TOKEN")
    if not token.strip():
        raise click.UsageError("the token is empty")
    return token.strip()


def _yes(value: bool | None) -> str:
    return {True: "yes", False: "no", None: "-"}[value]
