"""A node from its state directory to a running process, short of the API that is put in front of it.

`open_node` does everything that can fail, in an order in which nothing is changed before the state directory
is ours and its records are understood. `begin` starts the work; `end` stops the node and leaves its engines
and devices running unless told otherwise. One process per state directory: the lock decides.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import resource
import socket
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from farshore.errors import FarshoreError
from farshore.node import (
    adoption,
    announce,
    device_states,
    devices,
    feeds,
    grown,
    log_levels,
    rejoining,
    reshaping,
    run_directory,
    settings,
)
from farshore.node.addresses import Address, parse
from farshore.node.background import Background
from farshore.node.copies import CopyStore, StoredCopy
from farshore.node.device_store import DeviceStore
from farshore.node.engine_process import DEVICE_COMMAND, ENGINE_COMMAND
from farshore.node.events import Journal
from farshore.node.identity import open_identity
from farshore.node.invitations import Invitations
from farshore.node.launch import IN_SESSION, AsUnit
from farshore.node.listener import Listener, bind
from farshore.node.node import Node
from farshore.node.os_errors import as_farshore_error
from farshore.node.paths import Paths, locate
from farshore.node.peers import PeerBook
from farshore.node.rates import Rates
from farshore.node.settings import Said, Settings
from farshore.node.shares import Sharing
from farshore.node.supervisor import Supervisor
from farshore.node.wards import DEVICE, ENGINE
from farshore.settings.known import UNIX
from farshore.store.own_mounts import refuse_own

LOCK_SECONDS = 3.0
"""How long a start waits for a node that is on its way out."""
_LOCK_POLL = 0.05
_WISHED_FILES = 65536


@dataclass(slots=True)
class Opened:
    """A node that is ready to begin, and what it holds open."""

    node: Node
    listener: Listener
    doors: list[socket.socket]
    """Sockets that the API is to listen on."""
    port: socket.socket
    locks: tuple[int, int]
    """Of the state directory, and of the run directory."""
    settings: Settings


async def open_node(
    said: Said, command: Sequence[str] = ENGINE_COMMAND, device_command: Sequence[str] = DEVICE_COMMAND
) -> Opened:
    """Takes the state directory, reads its records, listens. Raises FarshoreError; nothing runs then."""
    paths = locate(said.state)
    held = [await _take(paths)]
    opened: list[socket.socket] = []
    try:
        settled = settings.settle(paths, said)
        held.append(run_directory.make(paths))
        run_directory.sweep(paths)
        identity = open_identity(paths, settled.name)
        peers = PeerBook(paths.peers, settled.name, identity.fingerprint)
        rates = Rates(paths, identity.fingerprint, settled.max_rate)
        invitations = Invitations(paths.invitations)
        copies = CopyStore(paths, settled.level)
        attached = DeviceStore(paths, settled.level)
        port = bind(settled.listen)
        opened.append(port)
        listening = Address(settled.listen.host, port.getsockname()[1])
        doors = _open_doors(paths, settled.api, opened)
        journal = Journal(paths.events)
        settings.remember(paths, identity.fingerprint, settled.name, listening, settled.api)
    except BaseException:
        for each in opened:
            each.close()
        for descriptor in held:
            os.close(descriptor)
        raise
    background = Background()
    launch = AsUnit() if settled.engines == "units" else IN_SESSION
    node = Node(
        paths=paths,
        name=settled.name,
        identity=identity,
        listening=listening,
        api=settled.api,
        peers=peers,
        rates=rates,
        invitations=invitations,
        copies=copies,
        journal=journal,
        background=background,
        supervisor=Supervisor(
            background,
            lambda stored, adopted: _engine_is_up(node, stored, adopted),
            lambda stored, error: _engine_ended(node, stored, error),
            replace(ENGINE, command=tuple(command), launch=launch),
        ),
        hold=settled.hold,
        devices=attached,
        device_supervisor=Supervisor(
            background,
            lambda device, adopted: device_states.is_up(node, device, adopted),
            lambda device, error: device_states.has_ended(node, device, error),
            replace(DEVICE, command=tuple(device_command), launch=launch),
            devices.Remains(),
        ),
    )
    return Opened(node, Listener(node, port), doors, port, (held[0], held[1]), settled)


def begin(opened: Opened) -> None:
    """Starts listening, brings the engines up or finds them, and tells the peers."""
    node = opened.node
    node.background.start(opened.listener.run(), "listener for peers")
    node.background.start(Sharing(node).keep(), "shares of the line")
    log_levels.settle(node)
    for stored in node.copies.all():
        node.supervisor.want(stored)
        reshaping.settle_later(node, stored)
    for device in node.devices.all():
        node.device_supervisor.want(device)
    before = opened.settings.remembered_listen
    moved = before is not None and before != str(node.listening)
    announce.tell_peers(node, node.peers.all(), str(node.listening) if moved else None)
    node.journal.add("node-started", f"node {node.name} started", pid=os.getpid())


async def end(opened: Opened) -> None:
    """Stops the node. Engines go on unless `stop_engines` was set; devices always."""
    node = opened.node
    await node.device_supervisor.leave()
    if node.stop_engines:
        await node.supervisor.stop_all()
    else:
        await node.supervisor.leave()
    node.journal.add("node-stopped", f"node {node.name} stopped", engines=node.stop_engines)
    await node.background.stop()
    node.journal.close()
    opened.port.close()
    for door in opened.doors:
        door.close()
    for path in (node.paths.api_socket, _unix_path(node.api)):
        if path is not None:
            path.unlink(missing_ok=True)
    state, run = opened.locks
    os.close(run)
    run_directory.remove_if_left(node.paths.run)  # sockets of engines that go on stay where they are
    os.close(state)


def raise_file_limit() -> None:
    """As many open files as this user may have, up to a bound: each connection and each engine takes some."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wished = _WISHED_FILES if hard == resource.RLIM_INFINITY else min(hard, _WISHED_FILES)
    if soft != resource.RLIM_INFINITY and soft < wished:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wished, hard))


def _make_state(paths: Paths) -> None:
    refuse_own(str(paths.state))
    try:
        paths.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        for each in (paths.copies, paths.volumes, paths.devices):
            each.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise as_farshore_error(error, paths.state) from error


async def _take(paths: Paths) -> int:
    """The state directory, made where it is not there; a descriptor that holds it. Raises FarshoreError."""
    _make_state(paths)
    try:
        descriptor = os.open(paths.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise as_farshore_error(error, paths.lock) from error
    loop = asyncio.get_running_loop()
    until = loop.time() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if loop.time() < until:
                await asyncio.sleep(_LOCK_POLL)
                continue
            owner = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise FarshoreError(
                "state-locked",
                f"a node runs on {paths.state} already" + (f" (pid {owner})" if owner else ""),
                means="nothing was changed",
                next_step=f"farshore node stop --state {paths.state}, or choose another --state",
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return descriptor


def _open_doors(paths: Paths, api: str, opened: list[socket.socket]) -> list[socket.socket]:
    """The API's sockets: always the Unix socket of the run directory, and what was chosen besides."""
    doors = [_listen_unix(paths.api_socket)]
    opened.append(doors[0])
    chosen = _unix_path(api)
    if chosen is None:
        doors.append(bind(parse(api)))
    elif chosen != paths.api_socket:
        doors.append(_listen_unix(chosen))
    opened.extend(doors[1:])
    return doors


def _listen_unix(path: Path) -> socket.socket:
    """Raises FarshoreError `address-in-use` where somebody answers there, or something else lies there."""
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.is_socket() and not run_directory.listened_on(path):
            path.unlink()  # left behind by a process that was killed
        mask = os.umask(0o177)
        try:
            door.bind(str(path))
        finally:
            os.umask(mask)
        door.listen(128)
        door.setblocking(False)
    except OSError as error:
        door.close()
        raise as_farshore_error(error, path) from error
    return door


def _unix_path(api: str) -> Path | None:
    return Path(api.removeprefix(UNIX)) if api.startswith(UNIX) else None


def _engine_is_up(node: Node, stored: StoredCopy, adopted: bool) -> None:
    seen = node.supervisor.seen(stored.key)
    pid = seen.pid if seen is not None else None
    name = stored.config.group_name
    kind, verb = ("engine-adopted", "was found running") if adopted else ("engine-started", "was started")
    node.journal.add(kind, f"the engine of {name} {verb}", group=name, copy=stored.key, pid=pid)
    if pid is not None:

        def told(kind: str) -> None:
            rejoining.told(node, stored.key, kind)
            grown.told(node, stored.key, kind)

        grown.look(node, stored.key)  # it may have grown while no node was there to hear of it
        node.background.start(feeds.follow(node.journal, stored, pid, told), f"events of {name}")
        if adopted:
            node.background.start(adoption.settle(node, stored.key), f"role of {name}")
        if adopted or rejoining.unfinished(stored):
            rejoining.told(node, stored.key, rejoining.FENCED)  # an earlier node may have heard of it
    announce.engine_is_up(node, stored)


def _engine_ended(node: Node, stored: StoredCopy, error: FarshoreError | None) -> None:
    name = stored.config.group_name
    if error is None:
        node.journal.add("engine-ended", f"the engine of {name} ended", group=name, copy=stored.key)
        return
    text = f"the engine of {name} failed: {error.what}"
    node.journal.add(
        "engine-failed", text, group=name, copy=stored.key, code=error.code.name, next=error.next_step
    )
