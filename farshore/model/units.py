"""Sizes, rates, durations and times as operators type and read them.

`4KiB`, `10MiB/s`, `100Mbit/s`, `500ms`, RFC 3339 with a zone. Letters count binary (`64M` is `64MiB`) except
in bits, where lines are sold in powers of ten. Every `parse_` raises ValueError with a sentence that names
the accepted forms; every `format_` is for eyes, at three significant digits, and is not meant to be parsed.
Nothing here reads a clock.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False  # as typing has it; this module is loaded at every start of the command line
if TYPE_CHECKING:
    from datetime import datetime
    from typing import Final

_BINARY: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50}
_DECIMAL: Final = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LARGEST: Final = (1 << 63) - 1

# Patterns are compiled when they are first used: most commands parse nothing.
_SIZE: Final = r"(?i)(\d+(?:\.\d+)?)\s*(?:([KMGTP])(?:iB?)?|B)?"
_BIT_RATE: Final = r"(?i)(\d+(?:\.\d+)?)\s*([KMGT]?)bit/s"
_DURATION_PART: Final = r"(\d+(?:\.\d+)?)(ms|s|m|h|d)"
_TIME: Final = r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)"


def parse_size(text: str) -> int:
    """Bytes of `4096`, `4KiB`, `64M`, `1.5GiB`; whole bytes only."""
    match = re.fullmatch(_SIZE, text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a size; write 4096, 4KiB, 64MiB or 10GiB")
    value = float(match[1]) if "." in match[1] else int(match[1])
    size = value * _BINARY[(match[2] or "").upper()]
    if size != int(size):
        raise ValueError(f"{text!r} is not a whole number of bytes")
    if size > _LARGEST:
        raise ValueError(f"{text!r} is larger than any volume can be")
    return int(size)


def parse_rate(text: str) -> int:
    """Bytes per second of `10MiB/s` or `100Mbit/s`; at least 1. A bare number has no unit and is refused."""
    stripped = text.strip()
    bits = re.fullmatch(_BIT_RATE, stripped)
    if bits is not None:
        rate = int(float(bits[1]) * _DECIMAL[bits[2].upper()] / 8)
    else:
        if not re.fullmatch(r"(?i).*[KMGTPB]/s", stripped):
            raise ValueError(f"{text!r} is not a rate; write 10MiB/s or 100Mbit/s")
        rate = parse_size(stripped[:-2])
    if rate < 1:
        raise ValueError(f"{text!r} is less than one byte per second")
    return rate


def parse_duration(text: str) -> float:
    """Seconds of `500ms`, `30s`, `5m`, `2h`, `1d` or a row of them such as `1h30m`."""
    stripped = text.strip()
    if re.fullmatch(f"(?:{_DURATION_PART})+", stripped) is None:
        raise ValueError(f"{text!r} is not a duration; write 500ms, 30s, 5m or 2h")
    return sum(float(number) * _SECONDS[unit] for number, unit in re.findall(_DURATION_PART, stripped))


def parse_dscp(text: str) -> int:
    """A traffic class: a number from 0 to 63, or a name of RFC 2474, 2597, 3246 or 8622 such as `af21`."""
    word = text.strip().lower()
    named = {"none": 0, "default": 0, "le": 1, "ef": 46, "va": 44}
    named |= {f"cs{number}": number * 8 for number in range(8)}
    named |= {f"af{high}{low}": high * 8 + low * 2 for high in range(1, 5) for low in range(1, 4)}
    found = named.get(word, int(word) if re.fullmatch(r"\d{1,2}", word) else -1)
    if not 0 <= found <= 63:
        raise ValueError(
            f"{text!r} is not a traffic class; write 0 to 63, cs0 to cs7, af11 to af43, ef or le"
        )
    return found


def means_time(text: str) -> bool:
    """Whether a word that may be a time or a name is meant to be a time. No name has a colon; a date alone
    may be one."""
    return ":" in text


def or_time(name: str, next_step: str) -> str:
    """The next step of a refusal that knows no such name. A date alone may have been meant as a time."""
    if re.fullmatch(r"\d{4}-\d\d-\d\d", name) is None:
        return next_step
    return f"a time of that day is written {name}T12:00:00Z; {next_step}"


def parse_time(text: str) -> datetime:
    """The moment of an RFC 3339 time; one without a zone is refused, because sites lie in different ones."""
    from datetime import datetime

    stripped = text.strip()
    if re.fullmatch(_TIME, stripped) is None:
        raise ValueError(f"{text!r} is not a time with a zone; write 2026-01-31T12:00:00Z or ...+01:00")
    try:
        return datetime.fromisoformat(stripped.upper())
    except ValueError as error:
        raise ValueError(f"{text!r} is not a time: {error}") from error


def format_size(size: float) -> str:
    """`0 B`, `4 KiB`, `1.5 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(size) < 1023.5:
            return f"{_digits(size)} {unit}"
        size /= 1024
    return f"{_digits(size)} PiB"


def format_rate(rate: float) -> str:
    """`10 MiB/s`."""
    return format_size(rate) + "/s"


def format_duration(seconds: float) -> str:
    """`0 s`, `120 ms`, `4.2 s`, `3m20s`, `2h05m`, `3d04h`: the two largest units that matter."""
    if seconds < 0.0005:
        return "0 s"
    if seconds < 0.9995:
        return f"{_digits(seconds * 1000)} ms"
    if seconds < 59.95:
        return f"{_digits(seconds)} s"
    whole = round(seconds)
    for size, large, small, part in ((86400, "d", "h", 3600), (3600, "h", "m", 60), (60, "m", "s", 1)):
        if whole >= size:
            return f"{whole // size}{large}{whole % size // part:02d}{small}"
    return f"{whole} s"


def format_time(moment: datetime) -> str:
    """RFC 3339 to the millisecond, in UTC. Raises ValueError for a time without a zone."""
    from datetime import UTC

    if moment.tzinfo is None:
        raise ValueError("a time without a zone names no moment")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _digits(value: float) -> str:
    if value == int(value):
        return str(int(value))
    places = 0 if abs(value) >= 99.95 else 1 if abs(value) >= 9.995 else 2
    return f"{value:.{places}f}".rstrip("0").rstrip(".") if places else f"{value:.0f}"
