"""How a link uses its line: what it sends beside the payload, packed or bare, and never too fast."""

import filecmp
import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from time import monotonic

import pytest

from farshore.demo.nbd_client import NbdClient
from farshore.model.options import LinkOptions, Mode
from tests.integration.conftest import Sites
from tests.integration.engines import Engine
from tests.waiting import wait_until

KIB, MIB = 1 << 10, 1 << 20
SIZES = {"data": 16 * MIB}
ROW = b"(4711, 'a customer', 'an address of some length', 2026, 11, 22);\n"


@contextmanager
def _running(sites: Sites, options: LinkOptions) -> Iterator[tuple[Engine, Engine]]:
    a, b, _ = sites.pair(SIZES, options)
    b.start()
    a.start()
    a.wait_for_link("replicating")
    yield a, b
    a.wait_until_clean()
    assert filecmp.cmp(sites.image("a", "data"), sites.image("b", "data"), shallow=False)


def _client(engine: Engine) -> closing[NbdClient]:
    return closing(NbdClient(engine.uri()))


def _sent(engine: Engine) -> int:
    return int(engine.link()["sent_bytes_total"])


def _text(size: int) -> bytes:
    return (ROW * (size // len(ROW) + 1))[:size]


@pytest.mark.parametrize(("size", "most"), [(4 * KIB, 1.03), (64 * KIB, 1.02)])
@pytest.mark.parametrize("wire", ["plain", "tls"])
def test_next_to_nothing_is_sent_beside_the_payload(sites: Sites, size: int, most: float, wire: str) -> None:
    """Target S14; writes of 4 KiB come in batches, as from a client with many of them under way."""
    with _running(sites, LinkOptions(mode=Mode.ASYNC, wire=wire)) as (a, _), _client(a) as client:
        before = _sent(a)
        pieces = [(at, os.urandom(size)) for at in range(0, 8 * MIB, size)]
        for at in range(0, len(pieces), 32):
            client.write_all(pieces[at : at + 32])
        a.wait_until_clean()
        ratio = (_sent(a) - before) / (8 * MIB)
        assert 1.0 < ratio <= most, f"{ratio:.4f} bytes were sent for each byte of payload"


@pytest.mark.parametrize("wire", ["plain", "tls"])
@pytest.mark.parametrize("mode", [Mode.SYNC, Mode.ASYNC])
def test_a_packed_link_sends_less_and_the_copy_is_the_same(sites: Sites, wire: str, mode: Mode) -> None:
    options = LinkOptions(mode=mode, wire=wire, compress="zstd")
    with _running(sites, options) as (a, _), _client(a) as client:
        before = _sent(a)
        text = _text(4 * MIB)
        client.write_all((at, text[at : at + 64 * KIB]) for at in range(0, len(text), 64 * KIB))
        client.write(8 * MIB, os.urandom(MIB))
        client.flush()
        a.wait_until_clean()
        assert _sent(a) - before < MIB * 1.1 + len(text) / 4
        entry = a.link()
        assert entry["compress"] == "zstd"
        assert entry["compress_ratio"] > 2


def test_a_full_copy_is_packed_too(sites: Sites) -> None:
    for volume in sites.volumes("a", SIZES):
        with open(volume.path, "r+b") as file:
            file.write(_text(8 * MIB))
    with _running(sites, LinkOptions(compress="zstd")) as (a, _):
        assert _sent(a) < 2 * MIB


def test_a_link_without_compression_says_so(sites: Sites) -> None:
    with _running(sites, LinkOptions()) as (a, _):
        entry = a.link()
        assert (entry["compress"], entry["compress_ratio"], entry["max_rate"]) == ("none", None, None)


def _until_sent(a: Engine, size: int) -> Callable[[], bool]:
    return lambda: _sent(a) >= size


def test_max_rate_bounds_frames_and_can_be_lifted(sites: Sites) -> None:
    rate = MIB
    options = LinkOptions(mode=Mode.ASYNC, wire="plain", max_rate=rate)
    with _running(sites, options) as (a, _), _client(a) as client:
        before, began = _sent(a), monotonic()
        client.write_all((at, os.urandom(64 * KIB)) for at in range(0, 8 * MIB, 64 * KIB))
        assert a.link()["max_rate"] == rate
        wait_until(_until_sent(a, before + 2 * MIB), what="2 MiB have left")
        assert monotonic() - began >= 1.7
        assert a.link()["queue"]["memory_bytes"] > 0  # what waits is seen where it is bounded
        began = monotonic()
        links = tuple(
            replace(link, spec=replace(link.spec, options=replace(options, max_rate=0)))
            for link in a.config.links
        )
        a.write_intent(replace(a.config, links=links))
        a.ask("reload")
        a.wait_until_clean()
        assert monotonic() - began < 4.0  # six seconds' worth at the old rate


def test_a_rate_that_is_set_on_a_running_link_holds_at_once(sites: Sites) -> None:
    options = LinkOptions(mode=Mode.ASYNC, wire="tls", compress="zstd")
    with _running(sites, options) as (a, _), _client(a) as client:
        links = tuple(
            replace(link, spec=replace(link.spec, options=replace(options, max_rate=MIB)))
            for link in a.config.links
        )
        a.write_intent(replace(a.config, links=links))
        a.ask("reload")
        before, began = _sent(a), monotonic()
        client.write_all((at, os.urandom(64 * KIB)) for at in range(0, 3 * MIB, 64 * KIB))
        wait_until(_until_sent(a, before + 2 * MIB), what="2 MiB have left")
        assert monotonic() - began >= 1.7
