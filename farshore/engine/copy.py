"""The composition root: one copy, from its `copy.json` and its directory to something that runs.

It builds the core of the copy's role from what is durable, gives it the shell's parts, and follows
the operator's intent when told to `reload`. It ends the loop when the core has stopped. The clock and
random numbers that the core needs come from here.
"""

from __future__ import annotations

import gc
import secrets
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from farshore.core import showing
from farshore.core.journaled import JournalImage
from farshore.core.primary import Primary, PrimarySetup
from farshore.core.scoreboard import BoardImage
from farshore.core.secondary import Secondary
from farshore.core.secondary_setup import SecondarySetup
from farshore.core.turning import pointed
from farshore.engine import log
from farshore.engine.drills import Drills
from farshore.engine.intents import (
    address_of_volume,
    addresses_of,
    certificates_of,
    check_unchangeable,
    served,
    spec_of,
)
from farshore.engine.journal import Journal
from farshore.engine.line import Identity, Manner
from farshore.engine.link_queues import left_on_disk
from farshore.engine.link_runner import Route
from farshore.engine.outgoing_links import OutgoingLinks
from farshore.engine.pool import Pool
from farshore.engine.preserving import image_of
from farshore.engine.primary_copy import PrimaryCopy
from farshore.engine.reactor import Reactor
from farshore.engine.secondary_copy import SecondaryCopy
from farshore.engine.stored_copy import StoredCopy, reads_as_blank
from farshore.engine.views import Shown, Views
from farshore.engine.workshop import Workshop
from farshore.errors import FarshoreError
from farshore.model.copy_config import CopyConfig, LinkIntent, from_json
from farshore.model.header import Upstream
from farshore.model.options import LinkSpec, Role, Timing
from farshore.store.json_file import read_object

IDENTIFIER: Final = "farshore-engine"
"""What engines are called in a log."""
TICK: Final = 0.1
_DURABLE_THREADS: Final = 4
_READ_THREADS: Final = 4
_COLLECT_AFTER: Final = 1.0


def read_config(directory: str) -> CopyConfig:
    """Raises FarshoreError `state-damaged`, `state-newer` or `not-found`."""
    return from_json(read_object(f"{directory}/copy.json", missing="farshore group list"))


class RunningCopy:
    """See the module. It takes `stored` over."""

    def __init__(
        self,
        reactor: Reactor,
        config: CopyConfig,
        stored: StoredCopy,
        *,
        turning: bool = False,
        turned: bool = False,
    ) -> None:
        """`turning`: a secondary that meets nobody, on its way to another role. `turned`: this start has just
        carried out a turn."""
        self.reactor = reactor
        self._turning = turning
        self._turned = turned
        self.config = config
        self._stored = stored
        self._instance = secrets.token_bytes(16)
        self._log = log.begin(IDENTIFIER, _who(config), config.log_level)
        self.journal = Journal(self.wall, self._log)
        self._durable_pool = Pool(reactor, "durable", _DURABLE_THREADS)
        self._read_pool = Pool(reactor, "read", _READ_THREADS)
        shop = Workshop(reactor, stored, self._durable_pool, self._read_pool, self.journal, self.tidy)
        self.role: PrimaryCopy | SecondaryCopy
        if config.role is Role.PRIMARY:
            self.role = self._primary(shop)
        else:
            self.role = self._secondary(shop)
        self.views = Views(shop, self._shown())
        if not turning:
            self.views.begin(config)
        self.drills = Drills(shop, self.views, self.role, self.wall)
        self._clock = self.role.core.clock
        self._tidying = False
        self._stopping = False
        self.on_stop: list[Callable[[], None]] = []
        """Called once, when a clean stop begins."""
        reactor.at_turn_start(self._begin_turn)
        reactor.at_turn_end(self.role.end_turn)
        reactor.at_turn_end(self.views.end_turn)

    # -- composition ------------------------------------------------------------------------

    def _primary(self, shop: Workshop) -> PrimaryCopy:
        config, stored = self.config, self._stored
        setup = PrimarySetup(
            header=stored.header.header,
            geometry=stored.geometry,
            links=self._specs(),
            boards=self._boards(),
            hot=stored.activity.read(),
            hot_capacity=config.hot_extents,
            boot=stored.boot,
            instance=self._instance,
            new_id=_new_id,
            timing=Timing(),
            on_start=config.on_start,
            turned=self._turned,
            queues={
                intent.spec.id: image
                for intent in config.links
                if (image := left_on_disk(stored, intent.spec)) is not None
            },
            ignored=frozenset(each.id for each in config.volumes if each.outage == "ignore"),
            repaired=config.repaired,
            preserve=image_of(stored),
        )
        copy = PrimaryCopy(Primary(setup), shop)
        self._known_links(copy.links)
        copy.served.begin(addresses_of(config, stored.volumes), certificates_of(config, stored.directory))
        return copy

    def _secondary(self, shop: Workshop) -> SecondaryCopy:
        config, stored = self.config, self._stored
        assert stored.position is not None
        assert stored.journal is not None
        found, header = stored.position.read(), stored.header.header
        setup = SecondarySetup(
            header=header,
            geometry=stored.geometry,
            durable=found.durable,
            applied=found.applied,
            boot=stored.boot,
            instance=self._instance,
            new_id=_new_id,
            timing=Timing(),
            empty=header.history.blank and reads_as_blank(stored.volumes, config.placed_blank),
            journal=JournalImage(stored.journal.start, stored.journal.damaged or ""),
            links=self._specs(),
            boards=self._boards(),
            residues=stored.residues,
            turning=self._turning,
            preserve=image_of(stored),
            roll_back=self._turning,
            upstream=_upstream_of(config),
        )
        upstream = config.upstream
        copy = SecondaryCopy(Secondary(setup), shop, upstream.peer_name if upstream else "")
        copy.identity = self._upstream_identity(config)
        self._known_links(copy.links)
        return copy

    def _shown(self) -> Shown | None:
        core = self.role.core
        if isinstance(core, Primary):
            return None
        return Shown(partial(showing.shown, core), partial(showing.why_not, core))

    def _specs(self) -> tuple[LinkSpec, ...]:
        return tuple(spec_of(intent) for intent in self.config.links)

    def _boards(self) -> dict[bytes, BoardImage]:
        return {link: board.read() for link, board in self._stored.boards.items()}

    def _known_links(self, links: OutgoingLinks) -> None:
        for intent in self.config.links:
            links.add(spec_of(intent), self._route(intent), known=True)

    def _route(self, intent: LinkIntent) -> Route:
        spec = intent.spec
        identity = self._identity(spec.peer, spec.options.wire)
        manner = Manner(spec.options.compress, spec.options.dscp)
        return Route(self.config.group, spec.id, intent.address, identity, manner, spec.epoch)

    def _upstream_identity(self, config: CopyConfig) -> Identity | None:
        upstream = config.upstream
        return None if upstream is None else self._identity(upstream.peer, upstream.wire)

    def adopt(self, sock: socket.socket, link: bytes) -> None:
        """Takes over a socket whose preface named that link. Raises FarshoreError `wrong-feeder` or
        `wrong-role` where there is nobody to answer it."""
        role, upstream = self.role, self.config.upstream
        if isinstance(role, SecondaryCopy):
            if upstream is not None and upstream.link == link:
                role.adopt(sock)
                return
            sock.close()
            raise FarshoreError("wrong-feeder", "the connection is for another link than this copy's")
        if upstream is not None and upstream.link == link:
            role.former.adopt(sock, self._upstream_identity(self.config))
            return
        told = self._stored.header.header.successor
        by = next((each.spec for each in self.config.links if told and each.spec.id == told.link), None)
        if by is None:
            sock.close()
            raise FarshoreError("wrong-role", "this copy is a primary, and nobody feeds it by that link")
        role.successor.adopt(sock, self._identity(by.peer, by.options.wire))

    def _identity(self, peer: str, wire: str) -> Identity:
        pem = f"{self._stored.directory}/peers/{peer}.pem"
        return Identity(self.config.certificate, self.config.key, pem, peer, wire)

    # -- life -------------------------------------------------------------------------------

    def start(self) -> None:
        """Lets the core begin, and time pass."""
        self._begin_turn()
        self.role.start()
        self.reactor.after(TICK, self._tick)

    def stop(self) -> None:
        """Begins a clean stop, at the end of which the loop ends."""
        if not self._stopping:
            self._stopping = True
            for tell in self.on_stop:
                tell()
            self.role.stop()

    def wall(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def close(self) -> None:
        """Gives everything back."""
        self.views.close()
        self.role.close()
        self._durable_pool.close()
        self._read_pool.close()
        self._stored.close()

    def tidy(self) -> None:
        """Something with cycles in it is gone; automatic collection is off, so it is done here, soon."""
        if not self._tidying:
            self._tidying = True
            self.reactor.after(_COLLECT_AFTER, self._collect)

    def _collect(self) -> None:
        self._tidying = False
        gc.collect()

    def _begin_turn(self) -> None:
        self._clock(self.reactor.now, time.time())

    def _tick(self) -> None:
        self.reactor.after(TICK, self._tick)
        self.role.tick()
        self.views.tick()
        self.drills.tick()
        if self._stopping and self.role.stopped:
            self.reactor.stop()

    # -- intent -----------------------------------------------------------------------------

    def reload(self, *, needs_tls: bool = False) -> list[str]:
        """Reads `copy.json` again and carries out the difference; what changed, in words. `needs_tls`: who
        asks wants to hear why exports over TLS cannot be served, also of those that were there before.

        Raises FarshoreError; what was changed before the error stays.
        """
        old, new = self.config, read_config(self._stored.directory)
        check_unchangeable(old, new)
        changed = self._reload_links(self.role.links, old, new)
        same = served(old) == served(new)
        if not same or any(each.tls for each in new.exports):  # whose certificate may be a new one
            asked_for = needs_tls or any(each.tls for each in new.exports if each not in old.exports)
            self._reload_exports(new, asked_for)
            changed.append("exports")
        if isinstance(self.role, SecondaryCopy) and old.upstream != new.upstream:
            self._reload_upstream(self.role, new)
            changed.append("upstream")
        if old.preserve != new.preserve:
            self._stored.bound_preserve(new)
            changed.append("preserve")
        if self._log.level != new.log_level:
            self._log.level = new.log_level
            changed.append("log level")
        self.config = new
        return changed

    def _reload_exports(self, new: CopyConfig, asked_for: bool) -> None:
        refused = None
        if isinstance(self.role, PrimaryCopy):
            certificates = certificates_of(new, self._stored.directory)
            refused = self.role.served.offer(addresses_of(new, self._stored.volumes), certificates)
        refused = self.views.offer(new) or refused
        if refused is not None and asked_for:
            raise refused  # else nobody who changes something else is kept from it

    def _reload_links(self, links: OutgoingLinks, old: CopyConfig, new: CopyConfig) -> list[str]:
        before = {intent.spec.id: intent for intent in old.links}
        after = {intent.spec.id: intent for intent in new.links}
        changed: list[str] = []
        for link in before.keys() - after.keys():
            links.remove(link)
            changed.append(f"link {before[link].spec.name} removed")
        for link, intent in after.items():
            if link not in before:
                self._stored.create_board(link)
                links.add(spec_of(intent), self._route(intent), known=False)
                changed.append(f"link {intent.spec.name} added")
            elif before[link] != intent:
                links.runners[link].route = self._route(intent)
                links.change(spec_of(intent))
                changed.append(f"link {intent.spec.name} changed")
        return changed

    def _reload_upstream(self, copy: SecondaryCopy, new: CopyConfig) -> None:
        upstream = new.upstream
        copy.feeder_name = upstream.peer_name if upstream else ""
        copy.identity = self._upstream_identity(new)
        if upstream is not None:
            copy.carrier.do(copy.core.point_at(upstream.link, upstream.epoch))

    # -- status -----------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """This copy's entry of a status document."""
        config = self.config
        document: dict[str, Any] = {
            "name": config.group_name,
            "id": config.group.hex(),
            "copy": {"id": config.copy.hex(), "name": config.copy_name},
            **self.role.report(config.group_name),
        }
        document["volumes"] = [
            {
                "name": each.name,
                "path": each.path,
                "size": self._stored.volumes[each.id].size,
                "uri": address_of_volume(config, each),
            }
            for each in config.volumes
        ]
        names = {intent.spec.id.hex(): intent.peer_name for intent in config.links}
        for link in document["links"]:
            link["peer"] = names.get(link["id"], "")
        document["views"], document["drill"] = self.views.report(), self.drills.document()
        document["engine"] = {
            **self.role.buffers(),
            **self.views.buffers(),
            "jobs": self._durable_pool.unfinished + self._read_pool.unfinished,
            "stalled_seconds": round(self.reactor.stalled, 3),
            "longest_stall_seconds": round(self.reactor.longest_stall, 3),
        }
        return document


def adopt_upstream(config: CopyConfig, stored: StoredCopy) -> None:
    """Rule B8, of a primary: whom it followed last, durably, before anyone is met. A secondary's core does
    this itself, since what its last process has left may be in doubt for the new feeder."""
    upstream, header = _upstream_of(config), stored.header.header
    if upstream is None or config.role is not Role.PRIMARY:
        return
    if header.upstream is None or upstream.epoch > header.upstream.epoch:
        stored.header.write(pointed(header, upstream))


def _upstream_of(config: CopyConfig) -> Upstream | None:
    upstream = config.upstream
    return None if upstream is None else Upstream(upstream.link, upstream.epoch)


def _who(config: CopyConfig) -> dict[str, str]:
    return {"group": config.group_name, "copy": config.copy_name, "copy_id": config.copy.hex()}


def _new_id() -> bytes:
    return secrets.token_bytes(16)
