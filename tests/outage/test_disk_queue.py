"""The disk queue of a link (F1, D4): what the line cannot take keeps its order, through a crash as well."""

from tests.outage.conftest import MakePair, Pair
from tests.outage.writing import anywhere, records, records_in, seen_coming, writing
from tests.waiting import wait_until

MIB = 1 << 20
_TEN_MBIT = 1_250_000


def _states(made: Pair) -> list[str]:
    """The states that the link has been in."""
    return [each["state"] for each in made.told("link-state")]


def test_a_burst_of_ten_times_the_memory_queue_stays_in_order(pair: MakePair) -> None:
    made = pair(16, mode="async", wire="plain", queue_memory="1MiB", queue_disk="64MiB")
    resent = made.link()["resent_bytes_total"]
    made.line.rate(_TEN_MBIT // 10, "forward")  # it goes on, but cannot keep up with any machine
    with made.client() as client:
        client.write_all(records(10 * MIB))
    queue = made.link()["queue"]
    made.line.rate(_TEN_MBIT, "forward")
    assert queue["disk_bytes"] > 4 * MIB
    assert queue["disk_limit"] == 64 * MIB
    seen_coming(made.image(made.b), 10 * 1024)
    made.equal()
    assert records_in(made.image(made.b)) == 10 * 1024
    assert "logging" not in _states(made)
    assert made.link()["resent_bytes_total"] == resent
    wait_until(lambda: made.link()["queue"]["disk_bytes"] == 0, what="an empty disk queue")


def test_an_outage_is_queued_and_drained_in_order(pair: MakePair) -> None:
    made = pair(16, mode="async", wire="plain", queue_memory="1MiB", queue_disk="64MiB")
    resent = made.link()["resent_bytes_total"]
    with made.client() as client:
        client.write_all(records(MIB))
        made.clean()
        made.line.cut()
        made.wait("queuing")
        assert made.a.group(made.group).health == "behind"
        client.write_all((offset, data) for offset, data in records(8 * MIB) if offset >= MIB)
        wait_until(lambda: made.link()["queue"]["disk_bytes"] > 6 * MIB, what="the writes to be on disk")
        assert made.link()["dirty_bytes"] >= 7 * MIB
        made.line.rate(8 * MIB, "forward")
        made.line.heal()
        seen_coming(made.image(made.b), 8 * 1024)
        made.wait("protected")
    made.equal()
    assert records_in(made.image(made.b)) == 8 * 1024
    assert "resyncing" not in _states(made)[2:]
    assert made.link()["resent_bytes_total"] == resent


def test_a_killed_engine_drains_its_queue_before_anything_else(pair: MakePair) -> None:
    made = pair(16, mode="async", wire="plain", queue_memory="1MiB", queue_disk="64MiB")
    with made.client() as client:
        made.line.cut()
        made.wait("queuing")
        client.write_all(records(4 * MIB))
    made.a.kill_engine(made.group)
    made.line.rate(2 * MIB, "forward")
    made.line.heal()
    wait_until(lambda: records_in(made.image(made.b)) > 3000, 30.0, what="the queue at the peer")
    made.line.rate(None)
    made.wait("protected")
    made.equal()


def test_a_clean_stop_keeps_the_queue_and_its_order(pair: MakePair) -> None:
    made = pair(16, mode="async", wire="plain", queue_memory="1MiB", queue_disk="64MiB")
    with made.client() as client:
        client.write_all(records(MIB))
        made.clean()
        made.line.cut()
        made.wait("queuing")
        client.write_all((offset, data) for offset, data in records(4 * MIB) if offset >= MIB)
    made.a.done("node", "stop", "--engines")
    made.a.start()
    made.wait("queuing")
    assert made.link()["dirty_bytes"] >= 3 * MIB
    with made.client() as client:
        client.write_all((offset, data) for offset, data in records(6 * MIB) if offset >= 4 * MIB)
    made.line.rate(4 * MIB, "forward")
    made.line.heal()
    seen_coming(made.image(made.b), 6 * 1024)
    made.wait("protected")
    made.equal()
    assert made.link()["resent_bytes_total"] == 0  # since the start: nothing was copied


def test_a_full_disk_queue_logs_and_comes_back_beside_a_load_that_never_stops(pair: MakePair) -> None:
    made = pair(16, mode="async", wire="plain", queue_memory="1MiB", queue_disk="2MiB")
    made.line.rate(16 * MIB, "forward")
    pieces = anywhere(made.size, 5, longest=4096)
    with made.client() as client, writing(client, pieces, per_second=1000) as application:
        application.go_on(100)
        made.line.stall()
        with made.client() as burst:  # more than the queues hold, long before the peer counts as lost
            burst.write_all(records(4 * MIB))
        made.wait("logging")
        assert made.link()["reason"] == "queue-full"
        made.line.heal()
        application.go_on(500)
        made.a.until(made.group, lambda seen: seen.links[0].state == "replicating", "the return to order")
        application.go_on(200)
    made.equal()


def test_on_full_block_holds_the_application_until_there_is_room(pair: MakePair) -> None:
    made = pair(16, mode="async", wire="plain", queue_memory="1MiB", queue_disk="2MiB", on_full="block")
    made.line.cut()
    made.wait("queuing")
    with made.client(timeout=60) as client, writing(client, records(8 * MIB)) as application:
        made.a.until(made.group, lambda group: group.writes == "held", "writes to be held")
        assert application.acknowledged < 4 * 1024
        made.line.heal()
        wait_until(lambda: application.done, 60.0, what="all writes")
    made.equal()
    assert "logging" not in _states(made)
    assert records_in(made.image(made.b)) == 8 * 1024


def test_the_queue_may_be_set_on_a_link_that_exists(pair: MakePair) -> None:
    made = pair(8, mode="async", wire="plain")
    made.farshore("link", "set", made.group, "b", "queue-disk=16MiB", "on-full=block")
    with made.client() as client:
        client.write_all(records(MIB))
        made.clean()
        made.line.cut()
        made.wait("queuing")
        client.write_all((offset, data) for offset, data in records(2 * MIB) if offset >= MIB)
    made.line.heal()
    made.wait("protected")
    made.equal()
