"""Carries out a turn: what a copy's files need so that it starts in its other role (see `core/turning`).

It runs before the engine serves anybody, on the directory that the process has locked. Everything that the
new role relies on is durable before the one header that says so; what is left of the old role is of no use
to the new one, and is removed or replaced then. So it can end anywhere, and the next start goes on: with
what the header says it is, to what `copy.json` says that it should be.
"""

from __future__ import annotations

import secrets
from dataclasses import replace

from farshore.core import rewinding, turning
from farshore.core.turning import Demotion, Turn, Undo
from farshore.core.undoing import reached
from farshore.engine import other_volumes
from farshore.engine.copy import RunningCopy
from farshore.engine.preserving import image_of
from farshore.engine.reactor import Reactor
from farshore.engine.rewinding import Ground, Rewind, take_back
from farshore.engine.secondary_copy import SecondaryCopy
from farshore.engine.stored_copy import StoredCopy, open_copy, remove_queue
from farshore.errors import FarshoreError
from farshore.model.copy_config import CopyConfig, LinkIntent, TurnIntent
from farshore.model.header import Header, Upstream
from farshore.model.options import LinkOptions, LinkSpec, Role
from farshore.model.positions import Position
from farshore.store import position_file
from farshore.store.header import HeaderFile
from farshore.store.platform import RealFiles
from farshore.store.scoreboard_file import ScoreboardFile


class _Held:
    """The process has the lock on the directory, and keeps it."""

    def release(self) -> None:
        """Not now."""


def carry_out(directory: str, config: CopyConfig) -> Turn | None:
    """What was carried out; None where nothing was due. Raises FarshoreError, `not-promotable` and
    `wrong-role` among them, or OSError; the copy has its old role then."""
    header = _read_header(directory, config)
    if header is None:
        return None
    if rewinding.open_rewind(header) is not None and not _goes_on(header, config):
        header = _take_back(directory, config)
    due, turn = turning.due(header, config.role, config.turn), config.turn
    if due is None or turn is None:
        return None
    if turn.rewind is not None and due is not Turn.PROMOTION:
        raise rewinding.out_of_reach("only a secondary goes back to an earlier state")
    if due is Turn.PROMOTION:
        _promote(directory, config, turn)
    elif due is Turn.DEMOTION:
        _demote(directory, config, header, turn)
    else:
        stored = HeaderFile.open(RealFiles(), f"{directory}/header")
        stored.write(turning.reinstated(header, turn))
        stored.close()
    return due


def _read_header(directory: str, config: CopyConfig) -> Header | None:
    """None for a copy that is new, or not the one that `copy.json` names: `open_copy` says so."""
    layer, path = RealFiles(), f"{directory}/header"
    if not layer.exists(path):
        return None
    opened = HeaderFile.open(layer, path)
    opened.close()
    header = opened.header
    return header if (header.group, header.copy) == (config.group, config.copy) else None


# -- promotion ----------------------------------------------------------------------------------


def _promote(directory: str, config: CopyConfig, turn: TurnIntent) -> None:
    header = _read_header(directory, config)
    assert header is not None
    turning.check_promotable(header, turn, Undo.ALL if header.undo else Undo.NONE)
    # A volume that takes the place of another one is empty to us, and no such copy is promoted: it is refused
    # while it still is what it was, and not once it holds nothing (rule D3).
    before = replace(_as_secondary(config, header), replaced="")
    stored = open_copy(directory, before, _Held())
    end = stored.close
    try:
        image = image_of(stored)
        turning.check_promotable(header, turn, reached(header.undo, image.layers, image.incomplete))
        if rewinding.open_rewind(header) is None:  # else the volumes are none of the copy's states
            copy = _settled(before, stored)
            end = copy.close
            _check_settled(copy, stored)
        known = {each.link: each.peer_copy for each in stored.header.header.links}
        wanted = [
            (each.spec, bytes.fromhex(each.peer_copy) or known.get(each.spec.id)) for each in config.links
        ]
        settled = stored.header.header
        if turn.rewind is not None:
            settled = Rewind(_ground(stored), turn, turn.rewind).run()
        promoted = turning.promoted(settled, turn, wanted)
        for spec, peer in wanted:
            if spec.id in promoted.boards:
                _make_board(stored, spec.id, promoted.boards[spec.id], peer)
        stored.header.write(promoted.header)
        assert stored.journal is not None
        stored.journal.clear()
    finally:
        end()


def _as_secondary(config: CopyConfig, header: Header) -> CopyConfig:
    """The intent of a life that only brings the copy to where it can be promoted."""
    known = {each.link for each in header.links if not each.retired}
    hops = tuple([intent for intent in config.links if intent.spec.id in known])
    return replace(config, role=Role.SECONDARY, links=hops, upstream=None, exports=())


def _goes_on(header: Header, config: CopyConfig) -> bool:
    """Whether the rewind that is open is still wanted."""
    turn = config.turn
    wanted = config.role is Role.PRIMARY and turn is not None and turn.rewind is not None
    rescue = rewinding.open_rewind(header)
    return wanted and turn is not None and rescue == rewinding.rescue_of(header, turn.id)


def _take_back(directory: str, config: CopyConfig) -> Header:
    """The copy as it was before a rewind that a turn had begun, which nobody wants any more (rule E3)."""
    header = _read_header(directory, config)
    assert header is not None
    stored = open_copy(directory, _as_secondary(config, header), _Held())
    try:
        take_back(_ground(stored))
        return stored.header.header
    finally:
        stored.close()


def _ground(stored: StoredCopy) -> Ground:
    assert stored.journal is not None
    if stored.preserve is None:
        raise FarshoreError(
            "state-damaged",
            f"the preserve store cannot be used: {stored.preserve_unusable}",
            means="Nothing was changed. What a rewind goes to, and is taken back from, is in that store.",
            next_step="make it readable again; farshore status shows when the engine has started",
        )
    return Ground(stored.header, stored.preserve, stored.journal, stored.volumes, stored.geometry)


def _settled(config: CopyConfig, stored: StoredCopy) -> RunningCopy:
    """The copy after a life as secondary that met nobody: everything is in its volumes, durably."""
    reactor = Reactor()
    copy = RunningCopy(reactor, config, stored, turning=True)
    reactor.soon(copy.start)
    reactor.soon(copy.stop)
    reactor.run()
    return copy


def _check_settled(copy: RunningCopy, stored: StoredCopy) -> None:
    """Raises FarshoreError `not-promotable` where not everything has got to where it belongs."""
    if not stored.header.header.clean:
        fault = copy.role.core.fault if isinstance(copy.role, SecondaryCopy) else ""
        raise FarshoreError(
            "not-promotable",
            "this copy cannot become the primary: what its journal holds could not be applied"
            f" ({fault or 'no space is left for its volumes'})",
            means="It is a secondary as before, and nothing of it is lost.",
            next_step="free or replace the disk, then start the engine again",
        )


def _make_board(stored: StoredCopy, link: bytes, base: Position | None, peer: bytes | None) -> None:
    board = ScoreboardFile.create(stored.layer, stored.board_path(link), stored.geometry)
    board.write(base, peer, [])
    board.close()


# -- demotion -----------------------------------------------------------------------------------


def _demote(directory: str, config: CopyConfig, header: Header, turn: TurnIntent) -> None:
    layer = RealFiles()
    links = [
        LinkIntent(LinkSpec(each.link, each.link.hex(), "", LinkOptions()), "", "")
        for each in header.links
        if layer.exists(f"{directory}/links/{each.link.hex()}.board")
    ]
    before = replace(config, role=Role.PRIMARY, links=tuple(links), upstream=None, exports=())
    stored = open_copy(directory, before, _Held())
    try:
        header = stored.header.header
        if other_volumes.lost(header):
            _empty(stored, config, turn)
            return
        if not header.clean:
            _suspect_what_was_hot(stored)
        for record in header.links:
            remove_queue(layer, f"{directory}/links", record.link)
        images = {link: board.read() for link, board in stored.boards.items()}
        upstream = config.upstream
        demoted = turning.demoted(
            header,
            Demotion(
                turn.id,
                None if upstream is None else Upstream(upstream.link, upstream.epoch),
                frozenset(each.spec.id for each in config.links),
                frozenset(link for link, image in images.items() if image.base and not image.damaged),
                header.boot == stored.boot,
                secrets.token_bytes(16),
            ),
        )
        position_file.renew(stored.layer, stored.directory, stored.boot, demoted.history.head)
        stored.header.write(demoted)
    finally:
        stored.close()


def _empty(stored: StoredCopy, config: CopyConfig, turn: TurnIntent) -> None:
    """The volumes that it had written are gone: as a secondary it holds nothing (rule D3)."""
    upstream = config.upstream
    fed = None if upstream is None else Upstream(upstream.link, upstream.epoch)
    position_file.renew(stored.layer, stored.directory, stored.boot)
    stored.header.write(replace(other_volumes.emptied(stored.header.header), upstream=fed, turn=turn.id))


def _suspect_what_was_hot(stored: StoredCopy) -> None:
    """Rule A3: in the scoreboard of every link, durably, before the header forgets the unclean stop."""
    header, geometry, hot = stored.header.header, stored.geometry, stored.activity.read()
    if hot is None or header.fault:
        hot = frozenset(
            (volume, each) for volume in geometry.sizes for each in range(geometry.extents(volume))
        )
    for link, file in stored.boards.items():
        record = header.link(link)
        assert record is not None
        board = turning.suspected(geometry, file.read(), record, hot)
        board.every_page()
        file.write(board.base, board.peer_copy, board.pages())
