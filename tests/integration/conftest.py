"""Fixtures for tests with real engines: a pair of copies, or a primary alone."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from farshore.model.options import LinkOptions
from farshore.model.volumes import VolumeSpec
from farshore.node.paths import locate
from tests.integration.engines import (
    Door,
    Engine,
    make_volume,
    primary_config,
    secondary_config,
    with_link,
)
from tests.processes import Processes
from tests.unit.engine.keys import Key, make_key


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
        wire = options.wire
        follower = Engine(
            self.processes,
            self.directory / "b",
            secondary_config(
                self.directory / "b",
                self.sockets,
                self.volumes("b", sizes),
                self.key("b"),
                self.key("a"),
                wire,
            ),
            [self.key("a")],
        )
        door = Door(follower)
        self.doors.append(door)
        config = primary_config(self.directory / "a", self.sockets, self.volumes("a", sizes), self.key("a"))
        config = with_link(config, self.key("b"), door.address, options)
        return Engine(self.processes, self.directory / "a", config, [self.key("b")]), follower, door

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
