"""The nodes that this one is paired with: certificate, address, and where they may place copies.

One record, `peers.json`, written whole at every change and durable before the change is acted on.
Names are unique, and so are fingerprints: pairing again with a known node renews its entry. What a
grant allows is decided in `farshore.node.places`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from farshore.errors import FarshoreError
from farshore.node import addresses, documents, names
from farshore.node.identity import fingerprint_of_pem


@dataclass(frozen=True, slots=True)
class Peer:
    """One paired node. `id` is its fingerprint, `address` HOST:PORT, `grants` globs over real paths."""

    name: str
    id: str
    address: str
    certificate: str
    """PEM."""
    grants: tuple[str, ...] = ()


class PeerBook:
    """All peers, in memory and in `peers.json`."""

    def __init__(self, path: Path, own_name: str, own_id: str) -> None:
        """Raises FarshoreError `state-newer` or `state-damaged`."""
        self._path = path
        self._own_name = own_name
        self._own_id = own_id
        document = documents.read(path)
        try:
            entries = [_peer(each) for each in document["peers"]] if document else []
        except (KeyError, TypeError, ValueError) as error:
            raise documents.damaged(path, error) from error
        self._peers = {peer.id: peer for peer in entries}

    def all(self) -> list[Peer]:
        """By name."""
        return sorted(self._peers.values(), key=lambda peer: peer.name)

    def by_id(self, fingerprint: str) -> Peer | None:
        return self._peers.get(fingerprint)

    def named(self, name: str) -> Peer:
        """Raises FarshoreError `not-found`."""
        for peer in self._peers.values():
            if peer.name == name:
                return peer
        raise FarshoreError(
            "not-found",
            f"there is no paired node {name!r}",
            next_step="farshore node list shows the nodes; farshore node invite and join pair two",
        )

    def check_addable(self, name: str, certificate: str) -> str:
        """The fingerprint under which this node could be added.

        Raises FarshoreError `usage` for a malformed name, `exists` where the name is taken by another node or
        the certificate is our own.
        """
        names.check("node", name)
        fingerprint = fingerprint_of_pem(certificate)
        holder = next((peer for peer in self._peers.values() if peer.name == name), None)
        if fingerprint == self._own_id:
            raise FarshoreError("exists", "a node cannot be paired with itself", means="nothing was changed")
        if name == self._own_name or (holder is not None and holder.id != fingerprint):
            raise FarshoreError(
                "exists",
                f"a node named {name!r} is known already, with another key",
                means="nothing was changed",
                next_step=f"restart one of them with another --name, or farshore node forget {name}",
            )
        return fingerprint

    def add(self, name: str, certificate: str, address: str) -> Peer:
        """Adds a peer or renews its entry (grants stay). Raises what `check_addable` raises."""
        fingerprint = self.check_addable(name, certificate)
        known = self._peers.get(fingerprint)
        peer = Peer(
            name, fingerprint, str(addresses.parse(address)), certificate, known.grants if known else ()
        )
        self._keep({**self._peers, fingerprint: peer})
        return peer

    def set_address(self, name: str, address: str) -> Peer:
        """Raises FarshoreError `not-found` or `usage`."""
        return self._change(replace(self.named(name), address=str(addresses.parse(address))))

    def allow(self, name: str, glob: str) -> Peer:
        """Lets a peer place copies below paths that match. Raises FarshoreError `not-found` or `usage`."""
        peer = self.named(name)
        if not glob.startswith("/"):
            raise FarshoreError("usage", f"{glob!r} is not an absolute path", next_step="begin it with /")
        return peer if glob in peer.grants else self._change(replace(peer, grants=(*peer.grants, glob)))

    def disallow(self, name: str, glob: str) -> Peer:
        """Takes a grant back; copies that exist stay. Raises FarshoreError `not-found`."""
        peer = self.named(name)
        if glob not in peer.grants:
            raise FarshoreError(
                "not-found",
                f"{name} has no grant for {glob}",
                means="nothing was changed",
                next_step="its grants: " + (", ".join(peer.grants) or "none"),
            )
        return self._change(replace(peer, grants=tuple(each for each in peer.grants if each != glob)))

    def forget(self, name: str) -> Peer:
        """Ends a pairing. Raises FarshoreError `not-found`."""
        peer = self.named(name)
        self._keep({each: other for each, other in self._peers.items() if each != peer.id})
        return peer

    def _change(self, peer: Peer) -> Peer:
        self._keep({**self._peers, peer.id: peer})
        return peer

    def _keep(self, peers: dict[str, Peer]) -> None:
        documents.write(self._path, {"peers": _documents(peers.values())})
        self._peers = peers


def _peer(value: dict[str, object]) -> Peer:
    grants = value["grants"]
    if not isinstance(grants, list) or not all(isinstance(each, str) for each in grants):
        raise TypeError("grants is not a list of strings")
    name, fingerprint, address, certificate = (
        str(value[each]) for each in ("name", "id", "address", "certificate")
    )
    return Peer(name, fingerprint, address, certificate, tuple(grants))


def _documents(peers: Iterable[Peer]) -> list[dict[str, object]]:
    return [asdict(peer) for peer in peers]
