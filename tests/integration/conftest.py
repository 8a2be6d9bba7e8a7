"""Fixtures for tests with real engines: a pair of copies, or a primary alone."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from farshore.model.copy_config import CopyConfig
from farshore.model.options import LinkOptions
from farshore.model.volumes import VolumeSpec
from farshore.node.paths import locate
from tests.integration.engines import (
    Door,
    Engine,
    behind_hop,
    make_volume,
    primary_config,
    secondary_config,
    with_hop,
    with_link,
)
from tests.processes import Processes
from tests.unit.engine.keys import Key, make_key


@dataclass
class Chain:
    """Three engines in a row, and the doors between them."""

    a: Engine
    b: Engine
    c: Engine
    door: Door
    """Between A and B."""
    behind: Door
    """Between B and C."""


@dataclass
class Sites:
    """Makes engines at two sites, A and B, with one door between them."""

    processes: Processes
    directory: Path
    sockets: Path
    keys: dict[str, Key] = field(default_factory=dict)
    doors: list[Door] = field(default_factory=list)

    def key(self, name: str) -> Key:
        """A site's identity."""
        if name not in self.keys:
            self.keys[name] = make_key(self.directory / "keys", name)
        return self.keys[name]

    def volumes(self, site: str, sizes: dict[str, int]) -> list[VolumeSpec]:
        """Sparse files at a site."""
        specs = []
        for number, (name, size) in enumerate(sizes.items(), 1):
            path = self.directory / f"{site}-{name}.img"
            if not path.exists():
                make_volume(path, size)
            specs.append(VolumeSpec(number, name, str(path), size))
        return specs

    def alone(self, sizes: dict[str, int]) -> Engine:
        """A primary without a link, not started."""
        directory = self.directory / "a"
        config = primary_config(directory, self.sockets, self.volumes("a", sizes), self.key("a"))
        return Engine(self.processes, directory, config, [])

    def pair(self, sizes: dict[str, int], options: LinkOptions) -> tuple[Engine, Engine, Door]:
        """A primary and its secondary, neither started, and the door of the secondary."""
        follower = Engine(
            self.processes, self.directory / "b", self.follower("b", sizes, options.wire), [self.key("a")]
        )
        feeder, door = self.feeder(sizes, options, follower)
        return feeder, follower, door

    def chain(self, sizes: dict[str, int], options: LinkOptions, hop: LinkOptions) -> "Chain":
        """A primary A, its secondary B, and the secondary C of B; none started."""
        config = behind_hop(self.follower("c", sizes, hop.wire), self.key("b"), hop.wire)
        last = Engine(self.processes, self.directory / "c", config, [self.key("b")])
        behind = self.door(last)
        config = with_hop(self.follower("b", sizes, options.wire), self.key("c"), behind.address, hop)
        middle = Engine(self.processes, self.directory / "b", config, [self.key("a"), self.key("c")])
        first, door = self.feeder(sizes, options, middle)
        return Chain(first, middle, last, door, behind)

    def follower(self, site: str, sizes: dict[str, int], wire: str) -> CopyConfig:
        """Intent of a secondary that A feeds."""
        return secondary_config(
            self.directory / site,
            self.sockets,
            self.volumes(site, sizes),
            self.key(site),
            self.key("a"),
            wire,
        )

    def door(self, follower: Engine) -> Door:
        """The door of a secondary."""
        self.doors.append(Door(follower))
        return self.doors[-1]

    def feeder(self, sizes: dict[str, int], options: LinkOptions, follower: Engine) -> tuple[Engine, Door]:
        """A primary that feeds it, and the follower's door."""
        door = self.door(follower)
        config = primary_config(self.directory / "a", self.sockets, self.volumes("a", sizes), self.key("a"))
        config = with_link(config, self.key("b"), door.address, options)
        return Engine(self.processes, self.directory / "a", config, [self.key("b")]), door

    def image(self, site: str, volume: str) -> Path:
        """The file of a volume."""
        return self.directory / f"{site}-{volume}.img"


@pytest.fixture(autouse=True)
def _no_sockets_stay(tmp_path: Path) -> Iterator[None]:
    """Removes the run directories of nodes whose state lies in `tmp_path`, after everything has ended."""
    yield
    for record in tmp_path.rglob("node.json"):
        shutil.rmtree(locate(str(record.parent)).run, ignore_errors=True)


@pytest.fixture
def sites(tmp_path: Path, socket_directory: Path, processes: Processes) -> Iterator[Sites]:
    made = Sites(processes, tmp_path, socket_directory)
    yield made
    for door in made.doors:
        door.close()
