"""What the node can ask of an engine: the operations of the control socket.

An operation checks its arguments, asks the copy, and answers at once, except where waiting is its
purpose: `pause` until the links have stopped, `events` until there are any. Arguments that are not
understood are `usage`, unknown operations as well.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from farshore.core import cutting
from farshore.core.moments import moment
from farshore.engine.call_arguments import given, optional
from farshore.engine.control_server import Call
from farshore.engine.copy import RunningCopy
from farshore.engine.drill_operations import DrillOperations
from farshore.engine.grow_operations import GrowOperations
from farshore.engine.layer_operations import LayerOperations
from farshore.engine.link_answers import Wait, answer_when_told
from farshore.engine.os_failures import as_farshore_error
from farshore.engine.outgoing_links import OutgoingLinks
from farshore.engine.primary_copy import PrimaryCopy
from farshore.engine.repairing import answer_repair
from farshore.engine.rewind_operations import RewindOperations
from farshore.engine.secondary_copy import SecondaryCopy
from farshore.engine.verify_operations import VerifyOperations
from farshore.errors import FarshoreError, ProtocolError
from farshore.model import names
from farshore.model.options import ResyncKind
from farshore.model.positions import Position
from farshore.wire import control, preface

LONGEST_WAIT: Final = 30.0
_PAUSE_SLACK: Final = 5.0
"""Seconds beyond a pause's own timeout after which its answer is given up."""
_RECORD_SECONDS: Final = 10.0
"""Seconds after which a resync that could not be recorded is given up."""


class Operations:
    """Answers calls for one copy."""

    def __init__(self, copy: RunningCopy) -> None:
        self._copy = copy
        self._table: dict[str, Callable[[Call], None]] = {
            "hello": self._hello,
            "status": self._status,
            "history": self._history,
            "reload": self._reload,
            "pause": self._pause,
            "resync": self._resync,
            "repair": self._repair,
            **VerifyOperations(copy, self._links).table,
            **LayerOperations(copy).table,
            **GrowOperations(copy).table,
            **RewindOperations(copy).table,
            **DrillOperations(copy).table,
            "cut": self._cut,
            "drain": self._drain,
            "resume": self._resume,
            "adopt": self._adopt,
            "peer-back": self._peer_back,
            "pace": self._pace,
            "events": self._events,
            "stop": self._stop,
        }

    def handle(self, call: Call) -> None:
        """Raises FarshoreError."""
        operation = self._table.get(call.op)
        if operation is not None and (call.op == "adopt" or not call.descriptors):
            operation(call)
            return
        for descriptor in call.descriptors:
            descriptor.close()
        raise FarshoreError("usage", f"an engine does not know the operation {call.op!r}")

    def _hello(self, call: Call) -> None:
        config = self._copy.config
        call.reply(
            {
                "pid": os.getpid(),
                "group": config.group.hex(),
                "group_name": config.group_name,
                "copy": config.copy.hex(),
                "copy_name": config.copy_name,
                "role": config.role.value,
                "versions": sorted(control.SPOKEN),
            }
        )

    def _status(self, call: Call) -> None:
        call.reply({"group": self._copy.status()})

    def _history(self, call: Call) -> None:
        """What nodes compare copies by: what this one certainly holds, or held before an open resync."""
        history = self._copy.role.core.history()
        call.reply({"history": [[each.generation.hex(), each.last] for each in history.stretches]})

    def _reload(self, call: Call) -> None:
        try:
            call.reply({"changed": self._copy.reload(needs_tls=bool(call.args.get("needs_tls")))})
        except OSError as error:
            means = "The engine goes on; what was changed before the error stays changed."
            raise as_farshore_error(error, means) from error

    def _pause(self, call: Call) -> None:
        copy, links = self._copy, self._links()
        link = optional(call, "link", str)
        drain = given(call, "drain", bool, True)
        timeout = float(given(call, "timeout", (int, float), 30.0))

        def entry(fields: dict[str, object]) -> dict[str, object]:
            return {
                "name": fields["link"],
                "position": {"generation": fields["generation"], "sequence": fields["sequence"]},
                "time": moment(copy.wall()),
                "drained": fields["drained"],
            }

        late = FarshoreError(
            "timeout",
            "the links did not stop in time",
            means="They will stop as soon as they can.",
            next_step=f"farshore status {copy.config.group_name}",
        )
        wait = Wait("link-paused", timeout + _PAUSE_SLACK, late, entry)
        answer_when_told(copy, call, wait, lambda: links.pause(link, drain, timeout))

    def _resync(self, call: Call) -> None:
        links, copy = self._links(), self._copy
        link = optional(call, "link", str)
        once = given(call, "once", bool, False)
        try:
            kind = ResyncKind(given(call, "kind", str, ResyncKind.UPDATE.value))
        except ValueError as error:
            raise FarshoreError("usage", str(error)) from error
        late = FarshoreError(
            "timeout",
            "what was asked for is not on the disk yet",
            means="The links go on with it, unless the engine ends before it is.",
            next_step=f"farshore status {copy.config.group_name}",
        )
        wait = Wait("resync-asked", _RECORD_SECONDS, late, lambda fields: fields["link"])
        bare = given(call, "unprotected", bool, False)
        answer_when_told(copy, call, wait, lambda: links.resync(link, kind, once, unprotected=bare))

    def _repair(self, call: Call) -> None:
        role = self._copy.role
        if isinstance(role, SecondaryCopy) and not role.core.fault:
            call.reply({"fault": "", "id": "", "doubtful": False})
        else:
            # A secondary's next start believes nothing but what was durable, once it will know of the fault.
            answer_repair(self._copy, call, role.repair)

    def _cut(self, call: Call) -> None:
        name, number = given(call, "name", str, ""), given(call, "number", int, 0)
        if not 0 <= number <= cutting.MOST:
            raise FarshoreError("usage", f"cut: number cannot be {number}")

        def told(result: Position | FarshoreError) -> None:
            if isinstance(result, FarshoreError):
                call.fail(result)
            else:
                call.reply({"generation": result.generation.hex(), "sequence": result.sequence})

        if given(call, "snapshot", bool, False):
            self._primary().snapshot(names.check("snapshot", name), number, told)
        else:
            told(self._primary().cut(name, number))

    def _drain(self, call: Call) -> None:
        """The writes stay held, whoever asked and whatever becomes of him, until `resume` or a stop."""
        primary, copy = self._primary(), self._copy
        timeout = float(given(call, "timeout", (int, float), 30.0))

        def told(kind: str, fields: dict[str, object]) -> None:
            if kind == "standstill":
                forget()
                position = {name: fields[name] for name in ("generation", "sequence")}
                call.reply({"position": position, "links": fields["links"]})
            elif kind == "standstill-ended":
                forget()
                call.fail(_drained_in_vain(str(fields["why"]), copy.config.group_name))

        def forget() -> None:
            copy.journal.listeners.remove(told)

        copy.journal.listeners.append(told)
        primary.drain(timeout)

    def _resume(self, call: Call) -> None:
        self._primary().resume()
        call.reply({})

    def _adopt(self, call: Call) -> None:
        try:
            if len(call.descriptors) != 1:
                raise FarshoreError("usage", "adopt needs exactly one socket")
            shown = _preface(given(call, "preface", str, ""))
            link = given(call, "link", str, "")
            if shown.group != self._copy.config.group or link != shown.link.hex():
                raise FarshoreError("wrong-feeder", "the connection is for another link than this copy's")
        except FarshoreError:
            for descriptor in call.descriptors:
                descriptor.close()
            raise
        self._copy.adopt(call.descriptors[0], shown.link)
        call.reply({})

    def _peer_back(self, call: Call) -> None:
        self._copy.role.links.peer_back(optional(call, "peer", str))
        call.reply({})

    def _pace(self, call: Call) -> None:
        shares = given(call, "shares", dict, {})
        if not all(type(rate) is int and rate >= 0 for rate in shares.values()):
            raise FarshoreError("usage", "pace: a share is a number of bytes per second")
        call.reply({"links": self._links().pace(shares)})

    def _events(self, call: Call) -> None:
        since = int(given(call, "since", int, 0))
        wait = min(float(given(call, "wait", (int, float), 0.0)), LONGEST_WAIT)
        journal = self._copy.journal

        def answer() -> None:
            timer.cancel()
            journal.forget(answer)
            call.reply({"events": journal.since(since), "next": journal.next})

        timer = self._copy.reactor.after(max(wait, 0.0), answer)
        if wait <= 0 or journal.next > since:
            answer()
        else:
            journal.when_next(answer)

    def _stop(self, call: Call) -> None:
        call.reply({})
        self._copy.stop()

    def _links(self) -> OutgoingLinks:
        """Of a primary, or of a secondary that has any."""
        role = self._copy.role
        return role.links if role.links.runners else self._primary().links

    def _primary(self) -> PrimaryCopy:
        if not isinstance(self._copy.role, PrimaryCopy):
            raise FarshoreError(
                "wrong-role", "links are paused and resynced where they begin, and this copy is a secondary"
            )
        return self._copy.role


def _drained_in_vain(why: str, group: str) -> FarshoreError:
    return FarshoreError(
        "timeout",
        f"the peers were not brought to one position: {why}",
        means="Writes flow again; nothing else was changed.",
        next_step=f"farshore status {group}",
    )


def _preface(text: str) -> preface.Preface:
    try:
        shown = preface.decode(bytes.fromhex(text))
    except (ValueError, ProtocolError) as error:
        raise FarshoreError("usage", f"adopt: the preface is malformed: {error}") from error
    if shown.kind is not preface.PrefaceKind.LINK:
        raise FarshoreError("usage", "adopt: the preface is not a link's")
    return shown
