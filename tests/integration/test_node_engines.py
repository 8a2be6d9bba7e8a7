"""The node keeps one engine per copy: started, found again, restarted, stopped, and never two."""

import asyncio
import errno
import json
import os
import signal
from functools import partial
from pathlib import Path

import pytest

from farshore.errors import FarshoreError
from farshore.node import commands, doctor, engine_process, export_clients, exports, groups, reconcile, status
from farshore.node.copies import StoredCopy
from farshore.node.intent import GroupWish, VolumeWish
from farshore.node.node import Node
from tests.integration.live_nodes import MIB, STANDIN, asked, kinds, names_in, running, until


async def make(node: Node, base: Path, volume: str = "data", name: str = "orders") -> StoredCopy:
    return await groups.create(node, GroupWish(name, (VolumeWish(volume, str(base / f"{name}.img"), MIB),)))


def pid_of(node: Node, stored: StoredCopy) -> int:
    seen = node.supervisor.seen(stored.key)
    assert seen is not None
    return seen.pid or 0 if seen.running else 0


def runs_as_another(node: Node, stored: StoredCopy, before: int) -> bool:
    return pid_of(node, stored) not in (0, before)


def test_an_engine_outlives_its_node_and_is_found_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path / "a", "a", keep_engines=True) as opened:
            stored = await make(opened.node, tmp_path)
            first = pid_of(opened.node, stored)
            assert os.getsid(first) == first, "it has a session of its own"
        assert engine_process.holder(stored.directory) == first
        async with running(tmp_path / "a", "a") as opened:
            assert await until(lambda: pid_of(opened.node, stored)) == first
            assert "engine-adopted" in kinds(opened.node)
            document = await status.document(opened.node)
            assert [each["health"] for each in document["groups"]] == ["protected"]
        assert engine_process.holder(stored.directory) is None

    asyncio.run(scenario())


def test_a_killed_engine_is_started_again_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path / "a", "a") as opened:
            node = opened.node
            stored = await make(node, tmp_path)
            for _ in range(3):
                before = pid_of(node, stored)
                os.kill(before, signal.SIGKILL)
                await until(partial(runs_as_another, node, stored, before))

    asyncio.run(scenario())


def test_an_adopted_engine_that_is_killed_is_noticed_too(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path / "a", "a", keep_engines=True) as opened:
            stored = await make(opened.node, tmp_path)
        async with running(tmp_path / "a", "a") as opened:
            node = opened.node
            first = await until(lambda: pid_of(node, stored))
            os.kill(first, signal.SIGKILL)
            await until(lambda: pid_of(node, stored) not in (0, first))

    asyncio.run(scenario())


def test_an_engine_that_cannot_start_is_shown_with_its_reason(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path / "a", "a") as opened:
            node = opened.node
            stored = await make(node, tmp_path)
            await node.supervisor.take_down(stored)
            path = stored.directory / "copy.json"
            path.write_text(path.read_text().replace('"data"', '"broken"'))
            one = node.supervisor.want(stored)
            await until(lambda: one.failures >= 3, what="it is tried again")
            (group,) = (await status.document(node, "orders"))["groups"]
            assert (group["health"], group["why"], group["next"]) == (
                "failed",
                "the disk is broken",
                "mend it",
            )
            assert group["sequence"] is None
            assert kinds(node).count("engine-failed") == 1, "the same reason is told once"
            path.write_text(path.read_text().replace('"broken"', '"data"'))
            await until(lambda: one.running)
            assert one.error is None

    asyncio.run(scenario())


def test_two_engines_never_run_on_one_copy(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path / "a", "a") as opened:
            stored = await make(opened.node, tmp_path)
            first = pid_of(opened.node, stored)
            second = engine_process.start(stored.directory, STANDIN)
            assert await asyncio.to_thread(second.wait, 20) != 0
            assert engine_process.holder(stored.directory) == first

    asyncio.run(scenario())


def test_a_silent_engine_is_told_apart_and_killed_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "STOP_SECONDS", 0.2)

    async def scenario() -> None:
        async with running(tmp_path / "a", "a") as opened:
            node = opened.node
            stored = await make(node, tmp_path)
            await node.supervisor.take_down(stored)
            path = stored.directory / "copy.json"
            path.write_text(path.read_text().replace('"data"', '"mute"'))
            with pytest.raises(FarshoreError) as caught:
                await node.supervisor.bring_up(stored, seconds=1.0)
            assert caught.value.code.name == "timeout"
            (group,) = (await status.document(node, "orders"))["groups"]
            one = node.supervisor.seen(stored.key)
            assert one is not None
            mute = one.pid
            assert (group["health"], group["writes"]) == (None, None), "nobody knows"
            assert f"process {mute}" in group["why"]
            assert "does not answer" in group["why"]
            assert mute is not None
            os.kill(mute, signal.SIGSTOP)
            await node.supervisor.take_down(stored)
            assert engine_process.holder(stored.directory) is None

    asyncio.run(scenario())


def test_events_of_engines_are_merged_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path / "a", "a", keep_engines=True) as opened:
            await make(opened.node, tmp_path)
            await until(lambda: "up" in kinds(opened.node))
        async with running(tmp_path / "a", "a") as opened:
            await until(lambda: "engine-adopted" in kinds(opened.node))
            stored = opened.node.copies.all()[0]
            before = len(asked(stored, "events"))
            await until(lambda: len(asked(stored, "events")) > before + 1)
            assert kinds(opened.node).count("up") == 1
            ids = [event["id"] for event in opened.node.journal.after(0)]
            assert ids == sorted(set(ids))

    asyncio.run(scenario())


def test_operators_commands_reach_the_engine(tmp_path: Path) -> None:
    async def scenario() -> None:
        from farshore.model.options import ResyncKind

        async with running(tmp_path / "a", "a") as opened:
            node = opened.node
            stored = await make(node, tmp_path)
            answer = await commands.pause(node, "orders", None, 2.0)
            assert answer["links"][0]["position"]["sequence"] == 7
            assert asked(stored, "pause")[0] | {"drain": True, "timeout": 2.0} == asked(stored, "pause")[0]
            await commands.resync(node, "orders", None, commands.ResyncWish(ResyncKind.DIGEST, once=True))
            (said,) = asked(stored, "resync")
            assert (said["kind"], said["once"], said["link"]) == ("digest", True, None)
            with pytest.raises(FarshoreError) as caught:
                await commands.pause(node, "orders", "nowhere", None)
            assert caught.value.code.name == "not-found"

    asyncio.run(scenario())


def test_groups_that_cannot_be_are_refused_and_nothing_is_left(tmp_path: Path) -> None:
    async def scenario() -> None:
        file, other, read_only = (tmp_path / name for name in ("file.img", "other.img", "ro.img"))
        file.write_bytes(bytes(MIB))
        other.write_bytes(bytes(MIB))
        read_only.write_bytes(bytes(MIB))
        (tmp_path / "odd.img").write_bytes(bytes(1000))
        (tmp_path / "link.img").symlink_to(file)
        async with running(tmp_path / "a", "a") as opened:
            node = opened.node
            await groups.create(node, GroupWish("first", (VolumeWish("v", str(file)),)))
            wrong: list[tuple[str, GroupWish]] = [
                ("usage", GroupWish("UPPER", (VolumeWish("v", str(file)),))),
                ("usage", GroupWish("g", ())),
                ("usage", GroupWish("g", (VolumeWish("v", "relative"),))),
                ("usage", GroupWish("g", (VolumeWish("v", str(tmp_path)),))),
                ("usage", GroupWish("g", (VolumeWish("v", str(tmp_path / "odd.img")),))),
                ("usage", GroupWish("g", (VolumeWish("v", str(tmp_path / "n.img"), 1000),))),
                ("usage", GroupWish("g", (VolumeWish("v", str(other)),), region=5000)),
                ("usage", GroupWish("g", (VolumeWish("v", str(other)),), region=2 << 20)),
                ("not-found", GroupWish("g", (VolumeWish("v", str(tmp_path / "missing")),))),
                ("not-found", GroupWish("g", (VolumeWish("v", str(tmp_path / "no/where"), MIB),))),
                ("exists", GroupWish("first", (VolumeWish("v", str(other)),))),
                ("exists", GroupWish("g", (VolumeWish("v", "/a"), VolumeWish("v", "/b")))),
                ("in-use", GroupWish("g", (VolumeWish("v", str(file)),))),
                ("in-use", GroupWish("g", (VolumeWish("v", str(tmp_path / "link.img")),))),
                (
                    "in-use",
                    GroupWish("g", (VolumeWish("v", str(other)), VolumeWish("w", str(other)))),
                ),
                ("size-mismatch", GroupWish("g", (VolumeWish("v", str(other), 2 * MIB),))),
            ]
            if os.geteuid() != 0:
                read_only.chmod(0o444)
                wrong.append(("read-only", GroupWish("g", (VolumeWish("v", str(read_only)),))))
            before = names_in(tmp_path)
            for code, wish in wrong:
                with pytest.raises(FarshoreError) as caught:
                    await groups.create(node, wish)
                assert caught.value.code.name == code, (wish, caught.value)
                assert caught.value.what
            assert names_in(tmp_path) == before
            assert [stored.config.group_name for stored in node.copies.all()] == ["first"]

    asyncio.run(scenario())


def test_volumes_are_exported_from_the_start_and_exports_can_be_changed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path / "a", "a") as opened:
            node = opened.node
            stored = await make(node, tmp_path)
            (made,) = await exports.create(node, "orders", None)
            socket = node.paths.nbd_socket(stored.config.copy)
            assert made["uri"] == f"nbd+unix:///data?socket={socket}"
            assert groups.document(stored)["volumes"][0]["uri"] == made["uri"]
            (tcp,) = await exports.create(
                node, "orders", "data", exports.Wish("127.0.0.1:10809", read_only=True)
            )
            assert (tcp["uri"], tcp["read_only"]) == ("nbd://127.0.0.1:10809/data", True)
            assert [each["not_served"] for each in await exports.all_exports(node)] == [None, None]
            (stored.directory / "not-exported").write_text("127.0.0.1:10809")
            away = [each["not_served"] for each in await exports.all_exports(node)]
            assert away == [None, "it is not at this host"]
            checks = {each["name"]: each for each in await doctor.checks(node)}
            assert "127.0.0.1:10809 is not served" in checks["export of orders"]["text"]
            await exports.delete(node, "orders", None, exports.Wish("127.0.0.1:10809"))
            await exports.delete(node, "orders", "data")
            assert (await exports.all_exports(node)) == []
            assert groups.document(node.copies.of_group("orders")[0])["volumes"][0]["uri"] is None
            with pytest.raises(FarshoreError) as caught:
                await exports.delete(node, "orders", None)
            assert caught.value.code.name == "not-found"
            with pytest.raises(FarshoreError) as caught:
                await exports.create(node, "orders", "other")
            assert caught.value.code.name == "not-found"

    asyncio.run(scenario())


def test_an_address_speaks_tls_to_all_or_to_none_and_offers_a_volume_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path / "a", "a") as opened:
            node = opened.node
            stored = await make(node, tmp_path)
            at = "127.0.0.1:10809"
            (made,) = await exports.create(node, "orders", None, exports.Wish(at, tls=True))
            assert (made["uri"], made["tls"]) == (f"nbds://{at}/data", True)
            assert (await exports.all_exports(node))[1] == made
            for wish in (exports.Wish(at), exports.Wish(at, tls=True, read_only=True)):
                with pytest.raises(FarshoreError) as caught:
                    await exports.create(node, "orders", None, wish)
                assert caught.value.code.name == "exists"
            for wish in (exports.Wish(tls=True), exports.Wish(at, tls=True, names=("no host",))):
                with pytest.raises(FarshoreError) as caught:
                    await exports.create(node, "orders", None, wish)
                assert caught.value.code.name == "usage"
            issued = await export_clients.allow(node, "orders", "app")
            assert "PRIVATE KEY" in issued["key"]
            kept = b"".join(each.read_bytes() for each in stored.directory.rglob("*") if each.is_file())
            assert issued["key"].splitlines()[1].encode() not in kept
            with pytest.raises(FarshoreError) as caught:
                await export_clients.allow(node, "orders", "app")
            assert caught.value.code.name == "exists"
            config = groups.primary(node, "orders").config
            assert export_clients.listed(config) == [{"name": "app", "fingerprint": issued["fingerprint"]}]
            await export_clients.disallow(node, "orders", "app")
            with pytest.raises(FarshoreError) as caught:
                await export_clients.disallow(node, "orders", "app")
            assert caught.value.code.name == "not-found"

    asyncio.run(scenario())


def test_a_client_is_taken_back_also_where_no_engine_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "_RELOAD_S", 0.5)

    def written(stored: StoredCopy) -> list[str]:
        document = json.loads((stored.directory / "copy.json").read_text())
        return [each["name"] for each in document["export_clients"]]

    async def scenario() -> None:
        async with running(tmp_path / "a", "a") as opened:
            node = opened.node
            stored = await make(node, tmp_path)
            for each in ("app", "other"):
                await export_clients.allow(node, "orders", each)
            await node.supervisor.take_down(stored)
            await export_clients.disallow(node, "orders", "app")
            assert written(stored) == ["other"]
            with pytest.raises(FarshoreError) as caught:
                await export_clients.allow(node, "orders", "third")
            assert (caught.value.code.name, written(stored)) == ("unreachable", ["other"])
            await node.supervisor.bring_up(groups.primary(node, "orders"))
            silent = pid_of(node, stored)
            os.kill(silent, signal.SIGSTOP)
            with pytest.raises(FarshoreError) as caught:
                await export_clients.disallow(node, "orders", "other")
            os.kill(silent, signal.SIGCONT)
            assert (caught.value.code.name, written(stored)) == ("timeout", [])
            assert f"end process {silent}" in caught.value.next_step

    asyncio.run(scenario())


def test_a_node_that_is_short_of_descriptors_for_a_moment_keeps_its_engines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with running(tmp_path / "a", "a") as opened:
            node = opened.node
            stored = await make(node, tmp_path)
            refusals: list[int] = []

            def short_of_files(pid: int) -> int:
                refusals.append(pid)
                raise OSError(errno.EMFILE, "too many open files")

            before = pid_of(node, stored)
            with monkeypatch.context() as short:
                short.setattr(os, "pidfd_open", short_of_files)
                os.kill(before, signal.SIGKILL)
                await until(lambda: refusals)
            await until(partial(runs_as_another, node, stored, before))

    asyncio.run(scenario())
