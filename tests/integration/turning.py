"""Two real engines that change roles: who is what, and the intent that a node would write for it."""

import json
import secrets
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from farshore.model.copy_config import CopyConfig, ExportIntent, LinkIntent, TurnIntent, UpstreamIntent
from farshore.model.options import LinkOptions, LinkSpec, Role
from farshore.model.positions import Position
from tests.integration.conftest import Sites
from tests.integration.engines import LINK, Door, Engine

BACK = bytes(range(64, 80))
"""The link from B to A."""


def new_turn(accepts: Collection[str] = ()) -> TurnIntent:
    """Like the one that a plan would make."""
    return TurnIntent(secrets.token_bytes(16), tuple(accepts))


@dataclass
class Turners:
    """Engines A and B, with a door each; at the beginning A is primary and feeds B."""

    sites: Sites
    a: Engine
    b: Engine
    to_b: Door
    to_a: Door
    options: LinkOptions

    def as_primary(self, engine: Engine, accepts: Collection[str] = (), **link: Any) -> CopyConfig:
        """The intent of one of both to be primary and to feed the other one. `link` says more of its link."""
        other = self.b if engine is self.a else self.a
        key = self.sites.key(other.directory.name)
        door = self.to_b if engine is self.a else self.to_a
        spec = LinkSpec(
            LINK if engine is self.a else BACK, other.directory.name, key.fingerprint, self.options
        )
        intent = LinkIntent(
            spec, other.directory.name, door.address, peer_copy=other.config.copy.hex(), **link
        )
        nbd = engine.config.control.removesuffix(".ctl") + ".nbd"
        return replace(
            engine.config,
            role=Role.PRIMARY,
            links=(intent,),
            turn=new_turn(accepts),
            on_start="alone",
            exports=tuple(ExportIntent(each.id, unix=nbd) for each in engine.config.volumes),
        )

    def as_secondary(self, engine: Engine) -> CopyConfig:
        """The intent of one of both to follow the other one."""
        other = self.b if engine is self.a else self.a
        key = self.sites.key(other.directory.name)
        upstream = UpstreamIntent(
            BACK if engine is self.a else LINK, 1, key.fingerprint, other.directory.name, self.options.wire
        )
        return replace(engine.config, role=Role.SECONDARY, links=(), upstream=upstream, turn=new_turn())

    def demote(self, engine: Engine) -> None:
        """Writes the intent; the engine carries it out when it starts next."""
        engine.write_intent(self.as_secondary(engine))

    def promote(self, engine: Engine, accepts: Collection[str] = (), **link: Any) -> None:
        """Likewise."""
        engine.write_intent(self.as_primary(engine, accepts, **link))

    def switch(self, old: Engine, new: Engine) -> dict[str, Any]:
        """A planned change of roles, as a node does it; what `drain` has answered."""
        drained = old.ask("drain", timeout=40.0)
        assert old.terminate() == 0
        self.demote(old)
        old.start()
        assert new.terminate() == 0
        self.promote(new)
        new.start()
        return drained


def head_of(engine: Engine) -> Position:
    """Where the history of a secondary ends, as its peers hear it."""
    entry = engine.status()
    return Position(bytes.fromhex(entry["generation"]), entry["sequence"])


def make_turners(sites: Sites, sizes: dict[str, int], options: LinkOptions) -> Turners:
    """Neither is started."""
    a, b, door = sites.pair(sizes, options)
    return Turners(sites, a, b, door, sites.door(a), options)


def killed_at_steps(engine: Engine, scratch: Path, stride: int, limit: float = 240.0) -> list[dict[str, Any]]:
    """What `dying` tells of an engine's turn, within `limit` seconds."""
    ended = subprocess.run(
        [sys.executable, "-m", "tests.integration.dying", str(engine.directory), str(scratch), str(stride)],
        capture_output=True,
        text=True,
        timeout=limit,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-2000:]
    return [json.loads(line) for line in ended.stdout.splitlines()]
