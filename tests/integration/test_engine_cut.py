"""A cut that an engine is asked for, at both ends of a link, with and without a journal."""

from typing import Any

import pytest

from farshore.demo.nbd_client import NbdClient
from farshore.errors import FarshoreError
from farshore.model.options import Apply, LinkOptions, Mode
from tests.integration.conftest import Sites
from tests.integration.engines import Engine
from tests.waiting import wait_until

MIB = 1 << 20


def _cuts(engine: Engine) -> list[dict[str, Any]]:
    return [each["fields"] for each in engine.ask("events")["events"] if each["kind"] == "cut"]


@pytest.mark.parametrize("apply", [Apply.DIRECT, Apply.JOURNAL])
def test_both_ends_know_the_position_and_the_images_are_equal(sites: Sites, apply: Apply) -> None:
    a, b, _ = sites.pair({"data": MIB}, LinkOptions(mode=Mode.ASYNC, apply=apply))
    b.start()
    a.start()
    a.wait_for_link("replicating")
    client = NbdClient(a.uri())
    try:
        client.write(0, b"before" * 100)
        position = a.ask("cut", name="noon", number=5)
        client.write(4096, b"after" * 100)
    finally:
        client.close()
    assert _cuts(a) == [{"name": "noon", "number": 5, **position}]
    wait_until(lambda: _cuts(b) == [position], what="b to note the cut")
    here, there = (sites.image(site, "data") for site in "ab")
    wait_until(lambda: here.read_bytes() == there.read_bytes(), what="equal images")


def test_a_number_that_does_not_fit_is_refused(sites: Sites) -> None:
    a, b, _ = sites.pair({"data": MIB}, LinkOptions())
    a.start()
    with pytest.raises(FarshoreError, match="number"):
        a.ask("cut", number=1 << 63)
    with pytest.raises(FarshoreError, match="number"):
        a.ask("cut", number=-1)
    b.start()
    with pytest.raises(FarshoreError, match="secondary"):
        b.ask("cut")
