"""A copy goes back to before a mistake and is the primary from there, by the command that operators have."""

import contextlib
import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from farshore.core.geometry import Geometry
from farshore.demo.nbd_client import NbdClient
from farshore.model.copy_config import CopyConfig, from_json
from farshore.model.layers import Layer, LayerKind
from farshore.model.units import format_time
from farshore.store.header import HeaderFile
from farshore.store.platform import RealFiles
from farshore.store.preserve import PreserveStore
from tests.cluster import Host
from tests.outage.writing import anywhere, writing
from tests.roles.conftest import MakeRoles, Roles, accepted
from tests.roles.rescued import exported
from tests.waiting import wait_until

GAP = 0.05


@contextlib.contextmanager
def _store(host: Host, group: str) -> Iterator[tuple[Path, CopyConfig, PreserveStore]]:
    """Of a host on which nothing runs."""
    (directory,) = host.state.glob(f"copies/{group}/*")
    config = from_json(json.loads((directory / "copy.json").read_text()))
    geometry = Geometry({each.id: each.size for each in config.volumes}, config.region, config.extent)
    store = PreserveStore.open(RealFiles(), f"{directory}/preserve", geometry, 1 << 30)
    try:
        yield directory, config, store
    finally:
        store.close()


def snapshot(host: Host, group: str, name: str) -> None:
    """Of where the copy has stopped cleanly."""
    host.done("node", "stop", "--engines")
    with _store(host, group) as (directory, config, store):
        header = HeaderFile.open(RealFiles(), f"{directory}/header")
        sizes = tuple((each.id, each.size) for each in config.volumes)
        mark = header.header.history.head
        store.begin(Layer(os.urandom(16), LayerKind.SNAPSHOT, sizes, name, mark, time.time()), 0)
        header.close()
    host.start()
    host.engine(group)
    host.hold()


def write(made: Roles, host: Host, seed: int, pieces: int = 40) -> None:
    with host.client(made.group) as client, writing(client, anywhere(made.size, seed)) as load:
        load.go_on(pieces)


def _moment() -> str:
    """A time at which nobody writes."""
    until = time.time() + 2 * GAP
    wait_until(lambda: time.time() > until)
    return format_time(datetime.fromtimestamp(until - GAP, UTC))


def image_of(made: Roles, host: Host) -> bytes:
    return host.image(made.group).read_bytes()


def test_a_mistake_is_undone_and_everybody_follows(roles: MakeRoles) -> None:
    made = roles("abc", mode="async")
    a, b, c, group = made.a, made.b, made.hosts[2], made.group
    write(made, a, 1)
    made.protected(a)
    snapshot(b, group, "noon")
    made.protected(a)
    write(made, a, 2)
    made.protected(a)
    before, moment = image_of(made, a), _moment()
    write(made, a, 3)  # the mistake
    made.protected(a)
    wait_until(lambda: image_of(made, b) == image_of(made, a))
    mistaken = image_of(made, b)
    assert b.farshore("rewind", group, "--on", "b", "--to", "2026-01-01T12:00:00").returncode == 2
    assert b.farshore("rewind", group, "--on", "b", "--to", "never", "--dry-run").returncode == 3
    assert b.farshore("rewind", group, "--on", "b", "--to", "2026-01-01T12:00:00Z").returncode == 4
    refused = b.farshore("rewind", group, "--on", "b", "--to", moment)
    assert (refused.returncode, "plan-needed" in refused.stderr) == (4, True), refused.stderr
    assert "at least" in refused.stdout
    assert made.primaries() == ["a"]
    accepted(a, "rewind", group, "--on", "b", "--to", moment)
    assert made.primaries() == ["b"]
    made.protected(b)
    assert image_of(made, b) == before
    made.equal()
    assert [host.json(group)["change"] for host in (a, b, c)] == [None] * 3
    write(made, b, 4)
    made.protected(b)
    made.equal()
    b.done("node", "stop", "--engines")
    with _store(b, group) as (_, _, store):
        (rescue,) = [each for each in store.layers if each.kind is LayerKind.RESCUE]
        assert rescue.name.startswith("rewind-")
        assert rescue.mark is not None
    b.start()
    assert mistaken != before


def _is_shown_while_the_primary_is_written(made: Roles, image: bytes) -> None:
    a, group = made.a, made.group
    uri = a.done("export", f"{group}@noon").strip()
    with a.client(group) as client, writing(client, anywhere(made.size, 2)) as load:
        load.go_on(40)
        assert exported(uri) == image
        drill = a.done("drill", "start", group, "--at", "noon", "--json")["drill"]
        assert (drill["node"], drill["snapshot"]) == ("a", "noon")
        over = NbdClient(drill["exports"][0]["uri"])
        over.write(4096, b"d" * 4096)
        load.go_on(40)
        assert over.read(0, 3 * 4096) == image[:4096] + b"d" * 4096 + image[8192 : 3 * 4096]
        over.close()
        a.done("drill", "stop", group)
    assert exported(uri) == image


def test_a_snapshot_of_the_primary_is_read_drilled_on_and_gone_back_to(roles: MakeRoles) -> None:
    made = roles(mode="sync")
    a, b, group = made.a, made.b, made.group
    a.done("group", "set", group, "preserve=64MiB")
    made.write(a, 1)
    image = a.image(group).read_bytes()
    told = b.done("snapshot", "create", group, "noon", "--everywhere", "--json")
    assert {each["copy"]: each["state"] for each in told["copies"]} == {"a": "done", "b": "done"}
    _is_shown_while_the_primary_is_written(made, image)
    made.protected(a)
    assert "1 snapshot" in a.done("status", group)
    refused = a.farshore("rewind", group, "--on", "a", "--to", "noon")
    assert (refused.returncode, "not rewound in place" in refused.stderr) == (4, True), refused.stderr
    assert f"farshore switchover {group}" in refused.stderr
    made.switch(a, b)
    made.write(b, 3)
    made.protected(b)
    accepted(a, "rewind", group, "--on", "a", "--to", "noon")
    b.hold()
    assert made.primaries() == ["a"]
    assert a.image(group).read_bytes() == image
    assert exported(a.done("export", f"{group}@noon").strip()) == image
    gone = b.done("snapshot", "delete", group, "noon", "--json")
    assert (sorted(gone["deleted"]), gone["left"]) == (["a", "b"], [])
    assert b.done("snapshot", "list", group, "--json")["snapshots"] == []
    wait_until(lambda: not any(each["serves"] for each in a.json(group)["views"]), what="the export to end")
