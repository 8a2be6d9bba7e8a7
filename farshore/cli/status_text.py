"""The status document as text: one block per group, one line per volume and per link.

Pure, and light enough for the quick path: no click, no rich, no parsing of times. Unknown figures show as
`-`, never as 0. Words are those of the document, so what is read here can be looked for in the docs.
"""

from __future__ import annotations

import json

from farshore.model.units import format_duration, format_size

TYPE_CHECKING = False  # as typing has it; importing typing costs as much as half a start of Python
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, TextIO

_COLOURS = {
    "protected": "32",
    "replicating": "32",
    "behind": "33",
    "queuing": "33",
    "attached": "32",
    "waiting": "33",
    "starting": "33",
    "ended": "31",
    "catching-up": "33",
    "resyncing": "33",
    "logging": "33",
    "held": "33",
    "stopped": "33",
    "unprotected": "31",
    "diverged": "1;31",
    "failed": "1;31",
    "refused": "31",
}
_UNKNOWN = "-"


def wants_colour(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Colour only on a terminal that shows it to somebody who has not asked for none."""
    return stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def as_json(document: Mapping[str, Any]) -> str:
    """The document for scripts: `schema` on top, one line, newline at the end."""
    return json.dumps({"schema": 1, **document}, ensure_ascii=False) + "\n"


def render(document: Mapping[str, Any], *, colour: bool) -> str:
    """All groups. Raises KeyError or TypeError for a document that is none of status."""
    lines = [f"node {document['node']['name']}"]
    named = list(zip(document["groups"], titles(document), strict=True))
    for group, name in sorted(named, key=lambda each: each[0]["health"] != "diverged"):  # the worst first
        lines += ["", *_group(group, name, colour)]
    if not document["groups"]:
        lines += ["", "no groups yet; next: farshore group create NAME --volume PATH"]
    return "\n".join(lines) + "\n"


def titles(document: Mapping[str, Any]) -> list[str]:
    """What each entry is called: by its group, and by NODE/COPY where the node holds several copies of it."""
    names = [group["name"] for group in document["groups"]]
    found = []
    for group, name in zip(document["groups"], names, strict=True):
        copy = (group.get("copy") or {}).get("name")
        several = names.count(name) > 1 and copy is not None
        found.append(f"{name} at {document['node']['name']}/{copy}" if several else name)
    return found


def table(head: Sequence[str], rows: Sequence[Sequence[str]], indent: str = "") -> list[str]:
    """Columns as wide as their widest cell; colours in cells count nothing. No rows: no head either."""
    if not rows:
        return []
    widths = [max(_width(row[column]) for row in (head, *rows)) for column in range(len(head))]
    return [
        indent
        + "  ".join(
            cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in (head, *rows)
    ]


def paint(word: str | None, colour: bool) -> str:
    """A state or health in its colour, `-` where it is unknown."""
    if word is None:
        return _UNKNOWN
    code = _COLOURS.get(word)
    return f"\x1b[{code}m{word}\x1b[0m" if colour and code else word


def _group(group: Mapping[str, Any], name: str, colour: bool) -> list[str]:
    head = f"{name}  {paint(group['health'], colour)}  {group['role'] or _UNKNOWN}"
    if group.get("writes"):
        head += f", writes {paint(group['writes'], colour)}"
    lines = [head]
    if group.get("since"):
        lines.append(f"  since  {group['since']}")
    if group.get("fenced"):
        by = f" by {group['fenced_by']}" if group.get("fenced_by") else ""
        lines.append(f"  fence  {paint('refused', colour)}: writes are fenced off{by}")
    lines += [f"  {word:<5}  {group[word]}" for word in ("why", "next") if group.get(word)]
    for each in group.get("not_exported") or ():
        lines.append(f"  export {each['address']} is not served: {each['why']}")
    preserve = group.get("preserve") or {}
    if preserve.get("layers") or preserve.get("unusable"):
        lines.append(f"  keeps  {_kept(preserve, colour)}")
    volumes = [
        (each["name"], _size(each.get("size")), _opened_as(each, colour)) for each in group.get("volumes", ())
    ]
    lines += table(("VOLUME", "SIZE", "OPENED AS"), volumes, "  ")
    head_of_links = (
        "LINK",
        "PEER",
        "MODE",
        "STATE",
        "PROGRESS",
        "DIRTY",
        "LAG",
        "QUEUE",
        "USABLE AT THE PEER",
    )
    lines += table(head_of_links, [_link(each, colour) for each in group.get("links", ())], "  ")
    lines += [_verify(each, colour) for each in group.get("links", ()) if each.get("verify")]
    return lines + ([_drill(group["drill"])] if group.get("drill") else [])


def _drill(drill: Mapping[str, Any]) -> str:
    """A drill that goes on, or that has ended by itself, in words."""
    words = [f"  drill: {drill['state']}", f"since {drill['started']}"]
    words.append(f"{_size(drill['used_bytes'])} of {_size(drill['limit_bytes'])} written")
    return ", ".join(words + ([drill["why"]] if drill.get("why") else []))


def _kept(preserve: Mapping[str, Any], colour: bool) -> str:
    """What a preserve store holds, in words."""
    if preserve.get("unusable"):
        return _red(f"nothing that can be read: {preserve['unusable']}", colour)
    kinds = [each["kind"] for each in preserve["layers"]]
    counted = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    used, most = _size(preserve.get("used_bytes")), _size(preserve.get("limit_bytes"))
    broken = ", ".join(f"{each['kind']} {each['name']}" for each in preserve["layers"] if each.get("broken"))
    return f"{used} of at most {most}: {counted}" + (_red(f"; broken: {broken}", colour) if broken else "")


def _verify(link: Mapping[str, Any], colour: bool) -> str:
    """The newest verify of a link, in words."""
    verify = link["verify"]
    state, found = verify["state"], verify["found_bytes"]
    words = [f"  verify of {link['name']}: {state or 'not yet'}"]
    if verify.get("progress") is not None and state in ("running", "waiting"):
        words.append(f"{verify['progress'] * 100:.0f} %")
    if verify.get("ended"):
        words.append(f"at {verify['ended']}")
    if found:
        words.append(_red(f"{format_size(found)} differ at the peer", colour))
    elif state == "finished":
        words.append("the copies were equal")
    words += [verify[word] for word in ("why",) if verify.get(word)]
    if verify.get("next"):
        words.append(f"next at {verify['next']}")
    return ", ".join(words)


def _red(text: str, colour: bool) -> str:
    return f"\x1b[1;31m{text}\x1b[0m" if colour else text


def _opened_as(volume: Mapping[str, Any], colour: bool) -> str:
    device = volume.get("device")
    if device is None:
        return volume.get("uri") or volume.get("path") or _UNKNOWN
    where = device.get("at") or device.get("path") or "device"
    return f"{where} ({paint(device.get('state'), colour)})"


def _link(link: Mapping[str, Any], colour: bool) -> tuple[str, ...]:
    state = paint(link["state"], colour)
    if link.get("reason"):
        state += f" ({link['reason']})"
    if link.get("left_for"):
        state += f", fed by {link['left_for']}"
    if link.get("rerouting"):
        state += f", being rerouted to {link['rerouting']}"
    return (
        link["name"],
        link.get("peer") or _UNKNOWN,
        ", ".join(word for word in (link.get("mode"), link.get("wire"), _packed(link)) if word) or _UNKNOWN,
        state,
        _progress(link),
        _size(link.get("dirty_bytes")),
        _lag(link),
        _size(_queued(link.get("queue") or {})),
        _usable(link),
    )


def _queued(queue: Mapping[str, Any]) -> int | None:
    """What waits, in memory or on disk: the larger tier's bytes tell how far behind the link is."""
    known = [size for size in (queue.get("memory_bytes"), queue.get("disk_bytes")) if size is not None]
    return max(known, default=None)


def _packed(link: Mapping[str, Any]) -> str:
    ratio = link.get("compress_ratio")
    return "" if ratio is None else f"{link.get('compress')} {ratio:.1f}:1"


def _progress(link: Mapping[str, Any]) -> str:
    progress = link.get("progress")
    if progress is None:
        return _UNKNOWN
    left = link.get("eta_seconds")
    return f"{progress * 100:.0f} %" + ("" if left is None else f", {format_duration(left)} left")


def _lag(link: Mapping[str, Any]) -> str:
    seconds, size = link.get("lag_seconds"), link.get("lag_bytes")
    known = [format_duration(seconds)] if seconds is not None else []
    return ", ".join(known + ([format_size(size)] if size else [])) or _UNKNOWN


def _usable(link: Mapping[str, Any]) -> str:
    usable, since, why = (link.get(f"peer_usable{suffix}") for suffix in ("", "_as_of", "_why"))
    if usable is None:
        return _UNKNOWN
    word = {True: "yes", False: "no"}.get(usable, str(usable))
    if word == "yes":
        return f"yes, as of {since}" if since else "yes"
    return f"{word}: {why}" if why else word


def _size(size: float | None) -> str:
    return _UNKNOWN if size is None else format_size(size)


def _width(cell: str) -> int:
    width, painted = 0, False
    for character in cell:
        if painted:
            painted = character != "m"
        elif character == "\x1b":
            painted = True
        else:
            width += 1
    return width
