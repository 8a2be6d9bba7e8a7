"""`python -m farshore.engine.process DIR`: the process that moves the data of the copy in DIR.

Everything that it will ever need is imported before it serves. It says what it does in lines of JSON
on stderr, or to systemd's journal. SIGTERM and SIGINT stop it cleanly, with exit code 0; what keeps it from
starting is left as one object in DIR/failure.json and as its last line, with exit code 1; with what the copy
durably is by then, where that can be read: a turn may have been carried out before a start failed. A defect
ends it with a traceback; the next start recovers as after any crash.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import json
import os
import resource
import signal
import sys
from dataclasses import asdict
from typing import Final

from farshore.config import run_base
from farshore.engine import log, service
from farshore.engine.control_server import ControlServer
from farshore.engine.copy import IDENTIFIER, RunningCopy, adopt_upstream, read_config
from farshore.engine.operations import Operations
from farshore.engine.os_failures import as_farshore_error
from farshore.engine.other_volumes import OtherVolumes
from farshore.engine.reactor import Reactor
from farshore.engine.residence import settle_in
from farshore.engine.stored_copy import open_copy
from farshore.engine.turning import carry_out
from farshore.errors import FarshoreError
from farshore.store.header import HeaderFile
from farshore.store.platform import RealFiles
from farshore.store.process_lock import take_lock
from farshore.systemd.notify import Notifier

_DESCRIPTORS: Final = 65536
_SWITCH_S: Final = 0.0005
"""How long a thread of the pool may keep the interpreter from the loop."""


def main(arguments: list[str]) -> int:
    """The exit code."""
    if len(arguments) != 1:
        log.to_stderr("usage: python -m farshore.engine.process DIR")
        return 2
    directory = os.path.abspath(arguments[0])
    notifier = Notifier.take(os.environ)
    _prepare_process()
    residence = settle_in()
    with contextlib.ExitStack() as opened:
        try:
            copy, reactor = _start(directory, opened)
        except FarshoreError as error:
            return _report(directory, error)
        except OSError as error:
            means = "The engine did not start; the volumes were not changed."
            return _report(directory, as_farshore_error(error, means))
        # What a host does not permit is no event, and no reason not to start; devices say it in their status.
        if copy.config.log_level in ("debug", "info"):
            log.to_stderr(json.dumps({"kind": "residence", "fields": asdict(residence)}))
        reactor.soon(copy.start)
        service.attend(notifier, reactor, copy)
        gc.collect()
        gc.freeze()
        gc.disable()
        reactor.run()
    return 0


def _start(directory: str, opened: contextlib.ExitStack) -> tuple[RunningCopy, Reactor]:
    lock = take_lock(RealFiles(), directory)
    opened.callback(lock.release)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{directory}/failure.json")  # what it says of the copy holds no longer
    config = read_config(directory)
    opened.callback(_leave, config.control)
    turned = carry_out(directory, config)
    reactor = Reactor()
    opened.callback(reactor.close)
    stored = open_copy(directory, config, lock)
    adopt_upstream(config, stored)
    copy = RunningCopy(reactor, config, stored, turned=turned is not None)
    opened.callback(copy.close)
    if turned is not None:
        copy.journal.note("turned", {"turn": turned.value, "role": config.role.value})
    control = ControlServer(reactor, config.control, Operations(copy).handle)
    opened.callback(control.close)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: reactor.post(copy.stop))
    return copy, reactor


def _leave(control: str) -> None:
    """The last engine of a node that has stopped takes the directory of their sockets along."""
    directory = os.path.dirname(control)
    if os.path.dirname(directory) != run_base(os.geteuid()):
        return
    with contextlib.suppress(
        OSError
    ):  # a node runs or starts there, others have sockets there or were quicker
        held = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.rmdir(directory)
        finally:
            os.close(held)


def _prepare_process() -> None:
    os.umask(0o077)
    sys.setswitchinterval(_SWITCH_S)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _report(directory: str, error: FarshoreError) -> int:
    locked = error.code.name == "state-locked"  # then the header is somebody else's to write
    told = error.as_dict() if locked else error.as_dict() | _durably(directory)
    if isinstance(error, OtherVolumes):
        told["replaced"] = error.replaced
    # Where even this cannot be written, the last line of the log says it.
    with (
        contextlib.suppress(OSError),
        open(f"{directory}/failure.json", "w", encoding="utf-8") as file,
    ):
        file.write(json.dumps(told) + "\n")
    log.last_words(IDENTIFIER, error)
    return 1


def _durably(directory: str) -> dict[str, str]:
    """The copy's role and its last turn; empty where its header cannot be read."""
    try:
        opened = HeaderFile.open(RealFiles(), f"{directory}/header")
    except (FarshoreError, OSError):
        return {}
    opened.close()
    return {"role": opened.header.role.value, "turn": opened.header.turn.hex()}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
