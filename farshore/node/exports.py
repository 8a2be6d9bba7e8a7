"""Which volumes of the copies here NBD clients can open, and under which address.

One Unix socket per primary copy exports its volumes by name; further exports listen on TCP, with or without
TLS, or are read-only on a socket of their own. A secondary's volumes, and layers of a copy's preserve store,
can be exported read-only; an address shows one of them. Making an export that exists gives its address
again. The engine carries it out; what it shows of a layer that is gone is nothing, and such an intent is
forgotten.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from farshore.errors import FarshoreError
from farshore.model.copy_config import CopyConfig, ExportIntent
from farshore.model.export_address import uri_of
from farshore.model.options import Role
from farshore.node import addresses, copy_layers, engine_process, export_certificates, groups, status
from farshore.node.copies import StoredCopy
from farshore.node.node import Node

_RELOAD_S = 15.0
_TRIES = 3
_log = logging.getLogger(__name__)
_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")


@dataclass(frozen=True, slots=True)
class Wish:
    """How volumes are to be exported."""

    tcp: str | None = None
    """HOST:PORT to listen on; None is the copy's Unix socket."""
    read_only: bool = False
    tls: bool = False
    names: tuple[str, ...] = ()
    """Under TLS, further names and addresses by which clients reach this host."""
    snapshot: str | None = None
    """The name of the snapshot, or the rescue, to be shown; read-only by nature."""
    copy: str | None = None
    """Of which of this node's copies, where it holds several and none is the primary."""


_WRITABLE = Wish()


async def create(node: Node, group: str, volume: str | None, wish: Wish = _WRITABLE) -> list[dict[str, Any]]:
    """Exports one volume or all of a group. Raises FarshoreError; nothing was changed then."""
    async with node.changing(group):
        stored, layer = await _shown(node, group, wish)
        _refuse_closed(stored.config, wish)
        place = _place(node, stored, wish, layer)
        wanted = [replace(place, volume=each) for each in _volumes(stored.config, volume)]
        missing = [each for each in wanted if each not in stored.config.exports]
        for each in missing:
            _refuse_conflicts(stored.config, each)
        if wish.tls:
            export_certificates.prepare(stored.directory, group, _names(node, place, wish))
        await ensure(node, stored, wanted)
        if wish.tls and not missing:  # the engine shows a new certificate from its next look on
            await stored.engine.ask("reload", {"needs_tls": True}, seconds=_RELOAD_S)
    return [_document(stored.config, each, wish.snapshot) for each in wanted]


async def _shown(node: Node, group: str, wish: Wish) -> tuple[StoredCopy, str]:
    """The copy that is to be exported, and the id of its layer where one was named."""
    if wish.snapshot is None and not wish.read_only:
        try:
            return groups.primary(node, group), ""
        except FarshoreError as error:
            if error.code.name != "wrong-role":
                raise
            error.next_step += f"; to read what is here: farshore export {group} --read-only"
            raise
    stored = groups.held(node, group, wish.copy)
    if wish.snapshot is None:
        return stored, ""
    return stored, (await copy_layers.named(stored, wish.snapshot)).id


async def ensure(node: Node, stored: StoredCopy, wanted: Sequence[ExportIntent]) -> StoredCopy:
    """Makes those of these exports that are missing; holds the group's lock.

    Raises FarshoreError; nothing was changed then.
    """
    config = stored.config
    missing = [each for each in wanted if each not in config.exports]
    if missing:
        stored = await _apply(node, stored, (*config.exports, *missing))
    for each in missing:
        what = f"{config.group_name}/{_name(config, each.volume)}"
        uri = uri_of(each, _name(config, each.volume))
        node.journal.add("export-created", f"{what} was exported", group=config.group_name, uri=uri)
    return stored


async def take_back(node: Node, stored: StoredCopy, before: tuple[ExportIntent, ...]) -> None:
    """Ends what `ensure` made for something that failed; whoever holds the group's lock."""
    if stored.config.exports != before:
        try:
            await _apply(node, stored, before)
        except FarshoreError as error:
            _log.warning("%s stays exported: %s", stored.config.group_name, error)


def unix_export(node: Node, stored: StoredCopy, volume: int, *, read_only: bool) -> ExportIntent:
    """The export of a volume on the Unix socket of its copy, whether or not there is one."""
    return replace(_place(node, stored, Wish(read_only=read_only)), volume=volume)


async def delete(node: Node, group: str, volume: str | None, wish: Wish = _WRITABLE) -> list[dict[str, Any]]:
    """Ends the exports of one volume or all of a group, or of a snapshot of it; of `wish` counts what is
    shown, and `tcp`, where it is given."""
    async with node.changing(group):
        stored = groups.held(node, group, wish.copy)
        layer = (await copy_layers.named(stored, wish.snapshot)).id if wish.snapshot is not None else ""
        chosen = set(_volumes(stored.config, volume))
        address = str(addresses.parse(wish.tcp)) if wish.tcp is not None else None
        gone = [
            each
            for each in _visible(stored.config)
            if each.volume in chosen and each.layer == layer and (address is None or each.tcp == address)
        ]
        if not gone:
            raise FarshoreError(
                "not-found",
                f"{group} has no such export",
                means="nothing was changed",
                next_step="farshore export list shows what is exported",
            )
        for each in gone:
            if each.unix is not None and not each.layer:
                node.devices.refuse_attached(group, _name(stored.config, each.volume), each.unix)
        await _apply(node, stored, tuple(each for each in stored.config.exports if each not in gone))
    node.journal.add("export-deleted", f"{len(gone)} exports of {group} were ended", group=group)
    return [_document(stored.config, each, wish.snapshot) for each in gone]


async def all_exports(node: Node) -> list[dict[str, Any]]:
    """Of every copy on this node; of its snapshots those that are there. `not_served` says why an address is
    not listened on, as far as its engine says so."""
    found: list[dict[str, Any]] = []
    for stored in node.copies.all():
        visible = _visible(stored.config)
        refused = {}
        if visible and stored.config.role is Role.PRIMARY:
            refused = not_served(await status.entry(node, stored))
        layers = await copy_layers.names(stored) if any(each.layer for each in visible) else {}
        for each in visible:
            name = each.layer or None
            if each.layer and layers is not None:
                if each.layer not in layers:
                    continue
                name = layers[each.layer]
            shown = _document(stored.config, each, name)
            found.append({**shown, "not_served": refused.get(each.tcp or each.unix or "")})
    return found


def not_served(entry: Mapping[str, Any]) -> dict[str, str]:
    """Of a copy's entry of the status document: why it does not listen, by the address, HOST:PORT or path."""
    return {str(each["address"]): str(each["why"]) for each in entry.get("not_exported") or ()}


def _visible(config: CopyConfig) -> list[ExportIntent]:
    """What is served in the copy's present role: a secondary keeps the others for when it is primary
    again."""
    return [each for each in config.exports if config.role is Role.PRIMARY or each.read_only]


async def _apply(node: Node, stored: StoredCopy, exports: tuple[ExportIntent, ...]) -> StoredCopy:
    if any(each.layer for each in exports):
        layers = await copy_layers.names(stored)
        exports = tuple(each for each in exports if not each.layer or layers is None or each.layer in layers)
    return await carry_out(node, stored, replace(stored.config, exports=exports))


async def carry_out(node: Node, stored: StoredCopy, config: CopyConfig) -> StoredCopy:
    """Has the engine follow a change of the exports or of their clients."""
    fresh = node.put(replace(stored, config=config))
    try:
        await stored.engine.ask("reload", seconds=_RELOAD_S)
    except FarshoreError:
        node.put(stored)  # what the engine did not take is not intended either
        raise
    return fresh


async def carry_out_for_good(node: Node, stored: StoredCopy, config: CopyConfig) -> None:
    """As `carry_out`, for what must hold whatever becomes of the engine: every one that starts once it is
    written down goes by it, so nothing is taken back.

    Raises FarshoreError where an engine runs and does not say that it follows.
    """
    fresh = node.put(replace(stored, config=config))
    for _ in range(_TRIES):
        try:
            await fresh.engine.ask("reload", seconds=_RELOAD_S)
        except FarshoreError as error:
            if error.code.name != "unreachable":
                raise _written_down(fresh, error) from error
        else:
            return
        if engine_process.holder(fresh.directory) is None:
            return  # after it was written down none ran: the next one reads it
        with contextlib.suppress(FarshoreError):  # one is starting, or failing to; it is asked again
            await node.supervisor.bring_up(fresh, _RELOAD_S)
    raise _written_down(fresh, fresh.engine.gone())


def _written_down(stored: StoredCopy, error: FarshoreError) -> FarshoreError:
    pid = engine_process.holder(stored.directory)
    return FarshoreError(
        error.code.name,
        f"it is written down, and the {stored.called} has not followed: {error.what}",
        means="it holds from the engine's next start on; until then what was allowed may go on",
        next_step=f"end process {pid}: the node starts another engine, which goes by it"
        if pid
        else "farshore events",
    )


def _place(node: Node, stored: StoredCopy, wish: Wish, layer: str = "") -> ExportIntent:
    read_only = wish.read_only or bool(layer)
    if wish.tcp is None:
        if wish.tls or wish.names:
            raise FarshoreError(
                "usage",
                "TLS is for exports on TCP",
                next_step="write --tcp HOST:PORT --tls, or leave it out",
            )
        unix = node.paths.nbd_socket(stored.config.copy, read_only=read_only, layer=layer)
        return ExportIntent(-1, unix=str(unix), read_only=read_only, layer=layer)
    address = addresses.parse(wish.tcp)
    if address.port == 0:
        raise FarshoreError("usage", "an export needs a port", next_step="write --tcp HOST:PORT")
    if wish.names and not wish.tls:
        raise FarshoreError("usage", "names are for exports with TLS", next_step="add --tls")
    return ExportIntent(-1, tcp=str(address), read_only=read_only, tls=wish.tls, layer=layer)


def _refuse_closed(config: CopyConfig, wish: Wish) -> None:
    if config.closed and not wish.read_only and wish.snapshot is None:
        raise FarshoreError(
            "wrong-state",
            f"{config.group_name} cannot be written now: {config.closed}",
            means="nothing was exported",
            next_step=f"farshore status {config.group_name}",
        )


def _refuse_conflicts(config: CopyConfig, wanted: ExportIntent) -> None:
    """An address speaks TLS or does not, shows one state, and offers a volume once."""
    here = [each for each in config.exports if wanted.tcp is not None and each.tcp == wanted.tcp]
    if any(each.tls != wanted.tls for each in here):
        raise FarshoreError(
            "exists",
            f"{config.group_name} is exported at {wanted.tcp} {'without' if wanted.tls else 'with'} TLS",
            means="nothing was changed; an address speaks TLS to all of its clients or to none",
            next_step="choose another port, or farshore export delete first",
        )
    if any(each.layer != wanted.layer for each in here):
        raise FarshoreError(
            "exists",
            f"another state of {config.group_name} is exported at {wanted.tcp}",
            means="nothing was changed; an address shows the copy as it is, or one snapshot of it",
            next_step="choose another port, or farshore export delete first",
        )
    if any(each.volume == wanted.volume for each in here):
        raise FarshoreError(
            "exists",
            f"{config.group_name}/{_name(config, wanted.volume)} is exported at {wanted.tcp}"
            f" {'for writing' if wanted.read_only else 'read-only'}",
            means="nothing was changed",
            next_step="choose another port, or farshore export delete first",
        )


def _names(node: Node, place: ExportIntent, wish: Wish) -> set[str]:
    """What clients may call this host: its own names, the address listened on, what the operator adds."""
    assert place.tcp is not None
    address = addresses.parse(place.tcp)
    hosts = {
        addresses.reachable(address).host,
        "localhost",
        "127.0.0.1",
        "::1",
        socket.gethostname(),
        node.name,
    }
    found = {host.lower() for host in (*hosts, *wish.names)}
    for name in wish.names:
        if not _HOST.fullmatch(name.lower()) and not _is_address(name):
            raise FarshoreError("usage", f"{name!r} is neither a host's name nor an address")
    return {each for each in found if _HOST.fullmatch(each) or _is_address(each)}


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _volumes(config: CopyConfig, name: str | None) -> list[int]:
    found = [each.id for each in config.volumes if name is None or each.name == name]
    if not found:
        raise FarshoreError(
            "not-found",
            f"group {config.group_name} has no volume {name!r}",
            next_step="its volumes: " + ", ".join(each.name for each in config.volumes),
        )
    return found


def _document(config: CopyConfig, export: ExportIntent, snapshot: str | None = None) -> dict[str, Any]:
    name = _name(config, export.volume)
    tcp = None if export.tcp is None else str(addresses.reachable(addresses.parse(export.tcp)))
    return {
        "group": config.group_name,
        "volume": name,
        "uri": uri_of(export, name, tcp),
        "read_only": export.read_only,
        "unix": export.unix,
        "tcp": export.tcp,
        "tls": export.tls,
        "copy": config.copy_name,
        "role": config.role.value,
        "snapshot": snapshot,
        "not_served": None,
    }


def _name(config: CopyConfig, volume: int) -> str:
    return next(each.name for each in config.volumes if each.id == volume)
