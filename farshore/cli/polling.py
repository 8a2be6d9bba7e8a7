"""Asking a node for a group's state until it is what somebody waits for, and showing the way there.

Progress goes to stderr as one line that is rewritten on a terminal, and as JSON lines to stdout with
`--json`. A node that does not answer for a moment (a restart, an upgrade) is waited out until the deadline;
one that never answered is an error at once.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable

from farshore.cli import output, status_text
from farshore.client import Node
from farshore.client.answers import Group, Link, Status
from farshore.errors import FarshoreError
from farshore.model.units import format_duration, format_size

_FIRST, _LAST = 0.05, 0.5  # seconds between two looks, growing
_ONE_LINE_EACH = 5.0  # seconds between lines of progress where lines cannot be rewritten


def until(
    node: Node,
    group: str,
    reached: Callable[[Group], bool],
    *,
    timeout: float | None,
    progress: Callable[[Status], None] | None = None,
) -> Status | None:
    """The status in which `reached` holds for the group; None when `timeout` seconds have passed before.

    `reached` may raise to end the waiting. Raises FarshoreError `not-found` for a group that is not there.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    pulse, pause, answered = threading.Event(), _FIRST, False
    while True:
        try:
            status = node.status(group)
        except FarshoreError as error:
            if error.code.name != "unreachable" or not answered:
                raise
        else:
            answered = True
            if progress is not None:
                progress(status)
            if reached(the_group(status, group)):
                return status
        left = pause if deadline is None else min(pause, deadline - time.monotonic())
        if left <= 0:
            return None
        pulse.wait(left)
        pause = min(pause * 1.5, _LAST)


def the_group(status: Status, name: str) -> Group:
    """The group of that name. Raises FarshoreError `not-found`."""
    for group in status.groups:
        if group.name == name:
            return group
    raise FarshoreError(
        "not-found", f"no group {name} at node {status.node.name}", next_step="farshore group list"
    )


class Progress:
    """Shows each change of a group's links; call `close` before printing anything else."""

    def __init__(self, group: str, *, as_json: bool) -> None:
        self._group = group
        self._as_json = as_json
        self._shown = ""
        self._shown_at = 0.0
        self._terminal = sys.stderr.isatty() and not as_json

    def __call__(self, status: Status) -> None:
        """One look."""
        group = the_group(status, self._group)
        if self._as_json:
            text = status_text.as_json(
                {"progress": {"group": group.name, "health": group.health, **_figures(group)}}
            )
            if text != self._shown:
                sys.stdout.write(text)
                sys.stdout.flush()
                self._shown = text
            return
        text = f"{group.name}: {group.health or group.why}" + "".join(
            f"; {_link(each)}" for each in group.links
        )
        if text == self._shown:
            return
        if self._terminal:
            sys.stderr.write(f"\r\x1b[K{text[:150]}")
            sys.stderr.flush()
            self._shown = text
        elif time.monotonic() - self._shown_at >= _ONE_LINE_EACH:
            output.note(text)
            self._shown, self._shown_at = text, time.monotonic()

    def close(self) -> None:
        """Takes the rewritten line away."""
        if self._terminal and self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def _figures(group: Group) -> dict[str, object]:
    return {
        "links": [
            {
                "name": link.name,
                "state": link.state,
                "reason": link.reason,
                "progress": link.progress,
                "eta_seconds": link.eta_seconds,
                "dirty_bytes": link.dirty_bytes,
                "verify_progress": link.verify.progress if link.verify is not None else None,
            }
            for link in group.links
        ]
    }


def _link(link: Link) -> str:
    text = f"{link.name} {link.state or '-'}"
    if link.progress is not None and link.state == "resyncing":
        text += f" {link.progress * 100:.0f} %"
        if link.eta_seconds is not None:
            text += f", {format_duration(link.eta_seconds)} left"
    if link.verify is not None and link.verify.progress is not None:
        text += f", verified {link.verify.progress * 100:.0f} %"
    if link.dirty_bytes:
        text += f", {format_size(link.dirty_bytes)} dirty"
    return text
