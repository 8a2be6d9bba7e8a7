"""One running node: the parts that its operations share, and nothing that could be derived from them.

Operations on intent live in `groups`, `links`, `exports`, `devices` and `hosting`; each takes this object.
Changes of one group are made one after the other; nobody holds two groups' locks, nor waits for a peer while
holding `places_lock`, so two nodes that ask each other never wait in a ring.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from farshore.node.addresses import Address
from farshore.node.background import Background
from farshore.node.copies import CopyStore, StoredCopy
from farshore.node.device_store import DeviceStore, StoredDevice
from farshore.node.disks import DiskId, disk_id
from farshore.node.events import Journal
from farshore.node.identity import Identity
from farshore.node.invitations import Invitations
from farshore.node.pairing import Household
from farshore.node.paths import Paths
from farshore.node.peers import PeerBook
from farshore.node.rates import Rates
from farshore.node.supervisor import Supervisor


@dataclass(slots=True, kw_only=True)
class Node:
    """See the module. `api` is what `node.json` says: `unix:PATH` or `HOST:PORT`."""

    paths: Paths
    name: str
    identity: Identity
    listening: Address
    api: str
    peers: PeerBook
    rates: Rates
    invitations: Invitations
    copies: CopyStore
    journal: Journal
    background: Background
    supervisor: Supervisor[StoredCopy]
    """Of engines."""
    devices: DeviceStore
    device_supervisor: Supervisor[StoredDevice]
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    stop_engines: bool = False
    """Whether the stop that `stopping` announces takes the engines along."""
    places_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _group_locks: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)

    @property
    def household(self) -> Household:
        """What pairing needs."""
        return Household(self.identity, self.name, self.listening, self.peers, self.invitations)

    def changing(self, group_name: str) -> asyncio.Lock:
        """The lock under which one group's intent changes."""
        lock = self._group_locks.get(group_name)
        if lock is None:
            lock = self._group_locks[group_name] = asyncio.Lock()
        return lock

    def taken_disks(self) -> set[DiskId]:
        """What the volumes of all copies on this node are."""
        paths = [volume.path for stored in self.copies.all() for volume in stored.config.volumes]
        return {found for found in map(disk_id, paths) if found is not None}

    def put(self, stored_config: StoredCopy) -> StoredCopy:
        """Writes a copy's intent and keeps the supervisor's view of it in step."""
        stored = self.copies.put(stored_config.config, self.peers.all())
        if self.supervisor.seen(stored.key) is not None:
            self.supervisor.want(stored)
        return stored

    def about(self) -> dict[str, str]:
        """The `node` part of every document."""
        return {"name": self.name, "id": self.identity.fingerprint}
