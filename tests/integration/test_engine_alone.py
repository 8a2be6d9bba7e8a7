"""A primary without links behaves as a block device: for every client, through errors and restarts."""

import errno
import json
import os
import signal
import socket
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from farshore.errors import FarshoreError
from farshore.model.copy_config import ExportIntent
from tests.integration.conftest import Sites
from tests.requires import program, requires
from tests.waiting import wait_until

MIB = 1 << 20


def _run(*command: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    name, *arguments = command
    run = subprocess.run(
        [program(str(name)), *map(str, arguments)], capture_output=True, text=True, timeout=60
    )
    assert not check or run.returncode == 0, run.stdout + run.stderr
    return run


@requires("qemu-io")
def test_what_qemu_writes_stands_in_the_file(sites: Sites) -> None:
    engine = sites.alone({"data": 64 * MIB})
    engine.start()
    commands = [
        "write -P 0x11 0 1M",
        "write -P 0x22 512 4096",
        "write -f -P 0x33 8M 4k",
        "write -z 0 4k",
        "discard 32k 32k",
        "flush",
        "read -P 0x00 0 4k",
        "read -P 0x11 4608 4k",
        "read -P 0x33 8M 4k",
        "read -P 0x00 32k 32k",
    ]
    run = _run("qemu-io", "-f", "raw", *[part for each in commands for part in ("-c", each)], engine.uri())
    assert "failed" not in run.stdout
    with sites.image("a", "data").open("rb") as file:
        image = file.read(9 * MIB)
    assert image[: 4096 + 512] == bytes(4096) + b"\x22" * 512
    assert image[8 * MIB : 8 * MIB + 4096] == b"\x33" * 4096


@requires("nbdinfo")
def test_nbdinfo_lists_every_volume_and_maps_its_holes(sites: Sites) -> None:
    engine = sites.alone({"data": 8 * MIB, "log": 4 * MIB})
    engine.start()
    with sites.image("a", "log").open("r+b") as file:
        file.seek(MIB)
        file.write(b"x" * MIB)
    listed = json.loads(_run("nbdinfo", "--list", "--json", engine.uri("log")).stdout)
    sizes = {each["export-name"]: each["export-size"] for each in listed["exports"]}
    assert sizes == {"data": 8 * MIB, "log": 4 * MIB}
    mapped = json.loads(_run("nbdinfo", "--map", "--json", engine.uri("log")).stdout)
    assert [(each["offset"], each["length"], each["type"]) for each in mapped] == [
        (0, MIB, 3),
        (MIB, MIB, 0),
        (2 * MIB, 2 * MIB, 3),
    ]


@requires("nbdcopy")
def test_nbdcopy_carries_an_image_there_and_back(sites: Sites, tmp_path: Path) -> None:
    engine = sites.alone({"data": 24 * MIB})
    engine.start()
    source, returned = tmp_path / "source", tmp_path / "returned"
    source.write_bytes(os.urandom(5 * MIB) + bytes(10 * MIB) + os.urandom(9 * MIB))
    _run("nbdcopy", "--flush", source, engine.uri())
    _run("nbdcopy", engine.uri(), returned)
    assert returned.read_bytes() == source.read_bytes() == sites.image("a", "data").read_bytes()


@requires("fio")
def test_fio_verifies_what_eight_connections_wrote(sites: Sites, tmp_path: Path) -> None:
    engine = sites.alone({"data": 64 * MIB})
    engine.start()
    _run(
        "fio",
        "--name=verify",
        "--ioengine=nbd",
        f"--uri={engine.uri()}",
        "--rw=randwrite",
        "--bsrange=512-256k",
        "--iodepth=8",
        "--numjobs=8",
        "--size=8m",
        "--offset_increment=8m",
        "--verify=crc32c",
        "--verify_state_save=0",
        "--verify_fatal=1",
        "--fsync=64",
        f"--aux-path={tmp_path}",
    )


@requires("qemu-io")
def test_clean_errors_leave_the_connection_as_it_was(sites: Sites) -> None:
    engine = sites.alone({"data": 8 * MIB})
    uri = f"nbd+unix:///data?socket={engine.config.control}.ro"
    read_only = ExportIntent(1, unix=f"{engine.config.control}.ro", read_only=True)
    engine.write_intent(replace(engine.config, exports=(*engine.config.exports, read_only)))
    engine.start()
    run = _run("qemu-io", "-f", "raw", "-r", "-c", "read -P 0 0 4k", uri)
    assert "read 4096/4096" in run.stdout
    run = _run("qemu-io", "-f", "raw", "-c", "write 0 4k", uri, check=False)
    assert run.returncode != 0


@requires("qemu-io")
def test_a_killed_engine_keeps_what_it_acknowledged(sites: Sites) -> None:
    engine = sites.alone({"data": 8 * MIB})
    engine.start()
    _run("qemu-io", "-f", "raw", "-c", "write -P 0x5a 1M 1M", engine.uri())
    first = engine.status()["generation"]
    engine.kill()
    engine.start()
    run = _run("qemu-io", "-f", "raw", "-c", "read -P 0x5a 1M 1M", engine.uri())
    assert "verification failed" not in run.stdout
    assert engine.status()["generation"] != first


def test_a_clean_stop_leaves_exit_code_zero_and_no_sockets(sites: Sites) -> None:
    engine = sites.alone({"data": 8 * MIB})
    engine.start()
    socket_path = engine.uri().partition("socket=")[2]
    assert Path(socket_path).exists()
    assert engine.terminate() == 0
    assert not Path(socket_path).exists()
    assert not Path(engine.config.control).exists()


def test_stop_by_control_socket_ends_the_process(sites: Sites) -> None:
    engine = sites.alone({"data": 8 * MIB})
    process = engine.launch()
    wait_until(engine.listening)
    engine.ask("stop")
    assert process.wait(10) == 0


def test_exports_follow_the_intent(sites: Sites) -> None:
    engine = sites.alone({"data": 8 * MIB})
    engine.start()
    before = engine.config
    old = engine.uri().partition("socket=")[2]
    other = old + "2"
    engine.write_intent(replace(before, exports=(ExportIntent(1, unix=other),)))
    assert engine.ask("reload") == {"changed": ["exports"]}
    assert Path(other).exists()
    assert not Path(old).exists()
    assert engine.ask("reload") == {"changed": []}


@requires("nbdinfo")
def test_an_export_on_tcp(sites: Sites) -> None:
    engine = sites.alone({"data": 8 * MIB})
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    engine.write_intent(replace(engine.config, exports=(ExportIntent(1, tcp=f"127.0.0.1:{port}"),)))
    engine.start()
    assert engine.uri() == f"nbd://127.0.0.1:{port}/data"
    assert _run("nbdinfo", "--size", engine.uri()).stdout.strip() == str(8 * MIB)


def test_events_are_awaited(sites: Sites) -> None:
    engine = sites.alone({"data": 8 * MIB})
    engine.start()

    def kinds() -> list[str]:
        return [each["kind"] for each in engine.ask("events", since=0, wait=0)["events"]]

    wait_until(lambda: "writes-flow" in kinds())
    answer = engine.ask("events", since=0, wait=0)
    assert engine.ask("events", since=answer["next"], wait=0.2)["events"] == []


@pytest.mark.parametrize(
    ("op", "args", "code"),
    [
        ("dance", {}, "usage"),
        ("pause", {"link": "none"}, "not-found"),
        ("resync", {"kind": "some"}, "usage"),
        ("events", {"since": "yesterday"}, "usage"),
        ("adopt", {"link": "00", "preface": "00"}, "usage"),
    ],
)
def test_what_cannot_be_done_is_refused_with_its_code(
    sites: Sites, op: str, args: dict[str, Any], code: str
) -> None:
    engine = sites.alone({"data": 8 * MIB})
    engine.start()
    with pytest.raises(FarshoreError) as refused:
        engine.ask(op, **args)
    assert refused.value.code.name == code


def test_a_second_engine_of_the_same_copy_is_refused_and_says_why(sites: Sites) -> None:
    engine = sites.alone({"data": 8 * MIB})
    engine.start()
    first = engine.pid
    second = engine.launch()
    assert second.wait(10) == 1
    left = json.loads((engine.directory / "failure.json").read_text())
    assert left["code"] == "state-locked"
    assert json.loads(engine.log().splitlines()[-1]) == left
    os.kill(first, signal.SIGTERM)


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        ("missing", "not-found"),
        ("size", "size-mismatch"),
        ("read-only", "read-only"),
        ("torn", "state-damaged"),
    ],
)
def test_what_keeps_it_from_starting_is_left_for_the_node(sites: Sites, trouble: str, code: str) -> None:
    engine = sites.alone({"data": 8 * MIB})
    image = sites.image("a", "data")
    if trouble == "missing":
        image.unlink()
    elif trouble == "size":
        os.truncate(image, 4 * MIB)
    elif trouble == "read-only":
        image.chmod(0o400)
    else:
        engine.start()
        assert engine.terminate() == 0
        header = engine.directory / "header"
        header.write_bytes(b"\xff" * header.stat().st_size)
    process = engine.launch()
    assert process.wait(10) == 1
    left = json.loads((engine.directory / "failure.json").read_text())
    assert left["code"] == code
    assert left["next"]
    if trouble == "read-only":
        image.chmod(0o600)
        engine.start()
        assert not (engine.directory / "failure.json").exists()


def test_an_export_at_a_taken_address_is_refused_and_changes_nothing(sites: Sites) -> None:
    engine = sites.alone({"data": 8 * MIB})
    engine.start()
    uri, before = engine.uri(), engine.config
    taken = ExportIntent(1, unix=before.control)
    engine.write_intent(replace(before, exports=(*before.exports, taken)))
    with pytest.raises(FarshoreError) as refused:
        engine.ask("reload")
    assert refused.value.code.errno == errno.EADDRINUSE
    assert engine.uri() == uri
