"""Sizes, rates, durations and times are read as operators write them, and refused if they say too little."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from farshore.model import units


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("4096B", 4096),
        ("4KiB", 4096),
        ("4k", 4096),
        ("64M", 64 << 20),
        ("64MiB", 64 << 20),
        ("1.5GiB", 3 << 29),
        ("2 TiB", 2 << 40),
        ("1P", 1 << 50),
    ],
)
def test_a_size_counts_binary(text: str, size: int) -> None:
    assert units.parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "4KiB/s", "4 K B", "1e6", "4XiB", "0.3B", "99999999P", "1,5G", "64MB"]
)
def test_what_is_no_size_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match=r"size|bytes|volume"):
        units.parse_size(text)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("10MiB/s", 10 << 20),
        ("10M/s", 10 << 20),
        ("512KiB/s", 512 << 10),
        ("100B/s", 100),
        ("100Mbit/s", 12_500_000),
        ("1Gbit/s", 125_000_000),
        ("2.5Gbit/s", 312_500_000),
        ("8bit/s", 1),
    ],
)
def test_a_rate_names_its_unit(text: str, rate: int) -> None:
    assert units.parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "10", "10/s", "10MiB", "1bit/s", "0KiB/s", "fast/s", "10MiBit/s"])
def test_a_rate_without_its_unit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"rate|second|size"):
        units.parse_rate(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("30s", 30.0),
        ("5m", 300.0),
        ("2h", 7200.0),
        ("1d", 86400.0),
        ("1h30m", 5400.0),
        ("0s", 0.0),
    ],
)
def test_a_duration_names_its_unit(text: str, seconds: float) -> None:
    assert units.parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "s", "5 minutes", "-5s", "5s6", "1:30"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        units.parse_duration(text)


def test_a_time_has_a_zone() -> None:
    assert units.parse_time("2026-01-31T12:00:00Z") == datetime(2026, 1, 31, 12, tzinfo=UTC)
    east = timezone(timedelta(hours=1))
    assert units.parse_time("2026-01-31T12:00:00.250+01:00") == datetime(2026, 1, 31, 12, 0, 0, 250_000, east)


@pytest.mark.parametrize(
    "text",
    ["2026-01-31T12:00:00", "2026-01-31", "12:00", "now", "2026-13-01T00:00:00Z", "2026-01-31T12:00:00+0100"],
)
def test_a_time_without_a_zone_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="time"):
        units.parse_time(text)


def test_what_has_a_colon_is_a_time_and_a_date_alone_may_be_a_name() -> None:
    assert [units.means_time(each) for each in ("12:00", "2026-01-31", "noon")] == [True, False, False]
    meant = units.or_time("2026-01-31", "look")
    assert (meant.endswith("look"), units.or_time("monday", "look")) == (True, "look")
    (time,) = (word.strip(";") for word in meant.split() if units.means_time(word))
    assert units.parse_time(time) == datetime(2026, 1, 31, 12, tzinfo=UTC)


def test_a_printed_time_can_be_read_again_and_names_its_zone() -> None:
    moment = datetime(2026, 1, 31, 12, 0, 0, 250_000, timezone(timedelta(hours=1)))
    assert units.format_time(moment) == "2026-01-31T11:00:00.250Z"
    assert units.parse_time(units.format_time(moment)) == moment
    with pytest.raises(ValueError, match="zone"):
        units.format_time(datetime(2026, 1, 31, 12))  # noqa: DTZ001 - that it has no zone is the point


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1, "1 B"),
        (4096, "4 KiB"),
        (1536, "1.5 KiB"),
        (64 << 20, "64 MiB"),
        ((64 << 20) + 1, "64 MiB"),
        (1234567, "1.18 MiB"),
        (1023 * 1024, "1023 KiB"),
        (1 << 50, "1 PiB"),
    ],
)
def test_sizes_are_shown_at_three_digits(size: int, text: str) -> None:
    assert units.format_size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.0004, "0 s"),
        (0.0123, "12.3 ms"),
        (0.9996, "1 s"),
        (4.25, "4.25 s"),
        (59.97, "1m00s"),
        (200, "3m20s"),
        (7500, "2h05m"),
        (273600, "3d04h"),
    ],
)
def test_durations_are_shown_by_what_matters(seconds: float, text: str) -> None:
    assert units.format_duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("63", 63), ("none", 0), ("EF", 46), ("cs1", 8), ("af21", 18), ("af43", 38), ("le", 1)],
)
def test_a_traffic_class_is_a_number_or_a_name(text: str, number: int) -> None:
    assert units.parse_dscp(text) == number


@pytest.mark.parametrize("text", ["", "64", "-1", "af14", "af51", "cs8", "fast", "0x2e"])
def test_what_is_no_traffic_class(text: str) -> None:
    with pytest.raises(ValueError, match="traffic class"):
        units.parse_dscp(text)
