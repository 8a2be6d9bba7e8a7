"""Where a node keeps things: its state directory, and the short directory of its sockets.

A socket path ends at 107 bytes and has to outlive the login of whoever started the node, so sockets
lie neither in the state directory (which may be long) nor in the session's XDG_RUNTIME_DIR (which goes
away at logout while engines stay). Others learn the API's address from `node.json`. Nothing is created or
opened here.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from farshore import config

MOUNTS = "d"
"""The directory in the run directory in which devices are mounted; short, as paths of sockets are."""


@dataclass(frozen=True, slots=True)
class Paths:
    """The places of one node. Both directories are absolute."""

    state: Path
    run: Path

    @property
    def node(self) -> Path:
        return self.state / "node.json"

    @property
    def key(self) -> Path:
        return self.state / "identity" / "key.pem"

    @property
    def certificate(self) -> Path:
        return self.state / "identity" / "certificate.pem"

    @property
    def peers(self) -> Path:
        return self.state / "peers.json"

    @property
    def invitations(self) -> Path:
        return self.state / "invitations.json"

    @property
    def volumes(self) -> Path:
        return self.state / "volumes"

    @property
    def copies(self) -> Path:
        return self.state / "copies"

    @property
    def removed(self) -> Path:
        """Copies on their way out: moved here in one step, then deleted."""
        return self.state / "removed"

    @property
    def devices(self) -> Path:
        """Of attached volumes, one directory each."""
        return self.state / "devices"

    @property
    def events(self) -> Path:
        return self.state / "events"

    @property
    def lock(self) -> Path:
        return self.state / "lock"

    @property
    def log(self) -> Path:
        return self.state / "node.log"

    @property
    def api_socket(self) -> Path:
        return self.run / "api.sock"

    def control_socket(self, copy: bytes) -> Path:
        """Of the engine of one copy."""
        return self.run / f"{copy.hex()[:12]}.ctl"

    def nbd_socket(self, copy: bytes, *, read_only: bool = False, layer: str = "") -> Path:
        """One per copy, and one per layer that is shown: it exports all volumes of the copy by name."""
        kind = f"-{layer[:12]}" if layer else "-ro" if read_only else ""
        return self.run / f"{copy.hex()[:12]}{kind}.nbd"

    def drill_socket(self, copy: bytes) -> Path:
        """Where the volumes of a copy's drill are opened."""
        return self.run / f"{copy.hex()[:12]}-drill.nbd"

    @property
    def mounts(self) -> Path:
        """Where devices mount their files."""
        return self.run / MOUNTS

    def device_mount(self, device: str) -> Path:
        """Of one device. Nothing at or below it is ever looked at by a node."""
        return self.mounts / device

    def device_socket(self, device: str) -> Path:
        """The control socket of one device."""
        return self.run / f"{device[:12]}.dev"


def locate(state: str | None = None) -> Paths:
    """The places of the node whose state directory is `state`; makes nothing."""
    uid = os.geteuid()
    chosen = config.state_of(config.Target(state), os.environ, uid)
    base = Path(config.run_base(uid))
    short = hashlib.sha256(os.fsencode(chosen)).hexdigest()[:10]
    return Paths(Path(chosen), base / short)
