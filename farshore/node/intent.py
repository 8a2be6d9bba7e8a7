"""From what an operator asked for to copy configurations: checks and new values. Pure but for new ids.

Nothing here looks at a disk, an engine or a peer; see `groups` and `links` for those.
"""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from farshore.errors import FarshoreError
from farshore.model.options import (
    DEFAULT_REGION,
    MAX_REGION,
    MIN_REGION,
    Apply,
    LinkOptions,
    OnFull,
    OnOutage,
    options_from_json,
)
from farshore.model.volumes import VolumeSpec
from farshore.node import names

LEAST_QUEUE = 1 << 20
MOST_DISK_QUEUE = 1 << 44
MOST_QUEUE = 1 << 40
MOST_DSCP = 63
LEAST_RATE = 512
LEAST_VERIFY = 1.0
"""Seconds from the begin of one verify to that of the next."""
MOST_VOLUMES = 1024


@dataclass(frozen=True, slots=True)
class VolumeWish:
    """One volume of a group to be. `size` in bytes only where a missing file is to be made."""

    name: str
    path: str
    size: int | None = None
    outage: str = "log"


@dataclass(frozen=True, slots=True)
class GroupWish:
    """A group to be."""

    name: str
    volumes: tuple[VolumeWish, ...]
    region: int = DEFAULT_REGION
    on_start: str = "wait"


def new_id() -> bytes:
    """128 random bits."""
    return os.urandom(16)


def check_group(wish: GroupWish) -> None:
    """Raises FarshoreError `usage` or `exists` for what is wrong without looking at any disk."""
    names.check("group", wish.name)
    check_volumes(wish.volumes)
    check_region(wish.region)
    if wish.on_start not in ("wait", "alone"):
        raise FarshoreError("usage", f"--on-start {wish.on_start} is unknown", next_step="use wait or alone")


def check_volumes(wished: Sequence[VolumeWish], known: Sequence[VolumeSpec] = ()) -> None:
    """Volumes of a new group, or more of them for one that has some. Raises FarshoreError `usage` or
    `exists`."""
    if not wished or len(wished) + len(known) > MOST_VOLUMES:
        raise FarshoreError(
            "usage",
            f"a group has between one and {MOST_VOLUMES} volumes",
            means="nothing was changed",
            next_step="name them with --volume PATH",
        )
    for each in wished:
        names.check("volume", each.name)
        if not each.path.startswith("/"):
            raise FarshoreError("usage", f"{each.path} is not an absolute path", next_step="begin it with /")
        if each.size is not None and (each.size <= 0 or each.size % 512):
            raise FarshoreError(
                "usage",
                f"volume {each.name}: {each.size} bytes is no size",
                next_step="use a multiple of 512 bytes",
            )
        if each.outage not in ("log", "ignore"):
            raise FarshoreError("usage", f"outage={each.outage} is unknown", next_step="use log or ignore")
    taken = {each.name for each in wished} | {each.name for each in known}
    if len(taken) != len(wished) + len(known):
        raise FarshoreError(
            "exists", "two volumes have the same name", next_step="name them: --volume NAME=PATH"
        )


def check_region(region: int) -> None:
    """Raises FarshoreError `usage`."""
    if not MIN_REGION <= region <= MAX_REGION or region & (region - 1):
        raise FarshoreError(
            "usage", f"a region of {region} bytes", next_step="use a power of two from 4KiB to 1MiB"
        )


def link_options(given: Mapping[str, Any], base: LinkOptions | None = None) -> LinkOptions:
    """Options from what was given, the rest from `base` or the defaults. Raises FarshoreError `usage`."""
    merged = {**(asdict(base) if base is not None else {}), **given}
    if base is None and "apply" not in given:
        merged["apply"] = (Apply.DIRECT if given.get("mode") == "sync" else Apply.JOURNAL).value
    try:
        options = options_from_json({name: _typed(name, value) for name, value in merged.items()})
        _check_options(options)
    except (ValueError, TypeError) as error:
        raise FarshoreError(
            "usage",
            f"link option: {error}",
            means="nothing was changed",
            next_step="farshore link create --help",
        ) from error
    return options


def check_hop(options: LinkOptions) -> None:
    """Refuses what a link cannot do whose feeder is itself a secondary: no application writes there, so there
    are no writes that could be held back. Raises FarshoreError `usage`."""
    for wished, option, instead in (
        (options.on_outage is OnOutage.FREEZE, "on-outage=freeze", "on-outage=continue"),
        (options.on_full is OnFull.BLOCK, "on-full=block", "on-full=log"),
    ):
        if wished:
            raise FarshoreError(
                "usage",
                f"{option} holds writes of the application, and at a secondary no application writes",
                means="a hop never delays the primary; nothing was changed",
                next_step=f"use {instead} for this link",
            )


def _typed(name: str, value: Any) -> Any:
    """A value of the kind that the option's default has. Raises ValueError."""
    kind = type(getattr(LinkOptions(), name, value))
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and not math.isfinite(value):
        raise ValueError(f"{name} cannot be {value!r}")
    if kind is int and number and value == int(value):
        return int(value)
    if kind is float and number:
        return float(value)
    if kind in (int, float, bool) and type(value) is not kind:
        raise ValueError(f"{name} cannot be {value!r}")
    return value


def _check_options(options: LinkOptions) -> None:
    if not LEAST_QUEUE <= options.queue_memory <= MOST_QUEUE:
        raise ValueError(f"queue-memory is between {LEAST_QUEUE} and {MOST_QUEUE} bytes")
    if options.queue_disk and not LEAST_QUEUE <= options.queue_disk <= MOST_DISK_QUEUE:
        raise ValueError(f"queue-disk is 0, or between {LEAST_QUEUE} and {MOST_DISK_QUEUE} bytes")
    if options.wire not in ("tls", "plain"):
        raise ValueError("wire is tls or plain")
    if options.max_rate < 0 or 0 < options.max_rate < LEAST_RATE:
        raise ValueError(f"max-rate is 0 or at least {LEAST_RATE} bytes per second, or heartbeats are late")
    if options.compress not in ("none", "zstd"):
        raise ValueError("compress is none or zstd")
    if not 0 <= options.dscp <= MOST_DSCP:
        raise ValueError(f"dscp is between 0 and {MOST_DSCP}")
    if not options.rpo > 0:
        raise ValueError("rpo is more than nothing")
    if options.verify_every and options.verify_every < LEAST_VERIFY:
        raise ValueError(f"verify-every is 0 or at least {LEAST_VERIFY:g} s")
    if options.first.value == "update":
        raise ValueError("a first copy is full or digest")


def link_name(wished: str | None, peer: str, taken: Collection[str]) -> str:
    """A new link's name: the wished one, else the peer's, numbered where that is taken.

    Raises FarshoreError `usage` or `exists`.
    """
    if wished is not None:
        names.check("link", wished)
        if wished in taken:
            raise FarshoreError(
                "exists",
                f"there is a link {wished!r} already",
                means="nothing was changed",
                next_step="choose another --name, or farshore link set changes the existing one",
            )
        return wished
    numbered = (f"{peer[:59]}-{number}" for number in range(2, len(taken) + 3))
    return next(name for name in (peer, *numbered) if name not in taken)
