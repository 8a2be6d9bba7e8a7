"""What the application and the operator see while the line is away, and who brings the link back."""

import time

import pytest

from tests.outage.conftest import MakePair
from tests.outage.writing import anywhere, records, writing
from tests.waiting import wait_until

_LIMIT_S = 5.0  # of heartbeats
_SLACK_S = 2.0  # a machine that others use too


def test_a_sync_application_goes_on_without_its_peer(pair: MakePair) -> None:
    made = pair(mode="sync")
    with made.client() as client, writing(client, anywhere(made.size, 1)) as application:
        application.go_on(50)
        made.line.cut()
        made.wait("logging")
        application.go_on(50)
        seen = made.a.group(made.group)
        assert (seen.health, seen.writes) == ("unprotected", "flowing")
        made.line.heal()
        made.wait("protected")
        application.go_on(50)
    made.equal()


def test_a_silent_line_holds_sync_writes_no_longer_than_the_limit(pair: MakePair) -> None:
    made = pair(mode="sync")
    with made.client() as client:
        client.write(0, b"before")
        made.line.half_open()  # nobody is told
        began = time.monotonic()
        client.write(8192, b"during")
        waited = time.monotonic() - began
    assert 0.5 < waited < _LIMIT_S + _SLACK_S  # it could not be acknowledged by b, so it did wait
    link = made.link()
    assert (link["state"], link["reason"]) == ("logging", "peer-lost")
    assert link["dirty_bytes"] > 0
    made.line.heal()
    made.equal()


def test_a_frozen_link_holds_acknowledgements_until_the_peer_is_back(pair: MakePair) -> None:
    made = pair(mode="sync", on_outage="freeze")
    with made.client(timeout=60) as client, writing(client, records(made.size)) as application:
        application.go_on(20)
        made.line.cut()
        seen = made.a.until(made.group, lambda group: group.writes == "held", "writes to be held")
        assert seen.health == "unprotected"
        stood = application.acknowledged
        assert made.link()["state"] == "logging"
        # A held write stays held: the next looks at the state see the same count.
        for _ in range(20):
            assert made.a.group(made.group).writes == "held"
        assert application.acknowledged <= stood + 1  # one that had been answered, not yet counted
        stood = application.acknowledged
        with made.client() as reader:
            assert reader.read(0, 8) == (1).to_bytes(8, "little")  # reads go on
        assert application.acknowledged == stood
        made.line.heal()
        application.go_on(20)
        assert made.link()["state"] == "replicating"
    made.equal()


def test_a_frozen_application_is_released_by_the_operator(pair: MakePair) -> None:
    made = pair(mode="sync", on_outage="freeze")
    with made.client(timeout=60) as client, writing(client, records(made.size)) as application:
        application.go_on(20)
        made.line.cut()
        made.a.until(made.group, lambda group: group.writes == "held", "writes to be held")
        made.farshore("link", "set", made.group, "b", "on-outage=continue")
        application.go_on(20)
        assert made.a.group(made.group).writes == "flowing"
        made.line.heal()
        made.wait("protected")
    made.equal()


def test_without_autosync_the_operator_brings_the_link_back(pair: MakePair) -> None:
    made = pair(mode="sync", autosync=False)
    made.line.cut()
    made.wait("logging")
    with made.client() as client:
        client.write(0, b"x" * 100_000)
    made.line.heal()
    made.a.node.network_changed()  # whoever would come back by itself would come now
    made.b.node.network_changed()
    assert made.a.farshore("wait", made.group, "--timeout", "1s").returncode == 7
    assert made.link()["state"] == "logging"
    made.farshore("resync", made.group, "--wait", "--timeout", "30s")
    assert made.link()["state"] == "replicating"
    made.equal()


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_the_peers_engine_is_killed_and_nothing_is_lost(mode: str, pair: MakePair) -> None:
    made = pair(mode=mode)
    with made.client() as client, writing(client, anywhere(made.size, 2)) as application:
        application.go_on(50)
        pid = made.b.kill_engine(made.group)
        application.go_on(50)
        assert made.b.engine(made.group, other_than=pid)
        made.wait("protected")
        application.go_on(50)
    made.equal()


def test_lag_over_the_operators_bound_is_shown(pair: MakePair) -> None:
    made = pair(mode="async", rpo="200ms")
    made.line.stall()
    with made.client() as client:
        client.write(0, b"late")
    seen = made.wait("behind")
    assert (seen.links[0].lag_seconds or 0) > 0.2
    assert (seen.links[0].lag_bytes or 0) >= 4
    made.line.heal()
    made.wait("protected")
    made.equal()
    wait_until(lambda: made.link()["lag_seconds"] == 0, what="no lag")
