"""One session of a feeder with its follower, from the first attempt to connect to its end.

It knows when to connect, greets, chooses a course by what the follower holds (rule D2), and tells
the feeder to take it. Nothing of an earlier session is ever carried over but the wish to try again.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from farshore.core import completing, endings
from farshore.core.actions import Close, Connect
from farshore.core.handshake import Course, Terms, decide, kind_for
from farshore.core.history import fork
from farshore.core.link import LinkEvent
from farshore.core.liveness import Liveness, Retry
from farshore.core.refused import Refused
from farshore.model import messages as m
from farshore.model.options import Apply, LinkState, Reason, ResyncKind
from farshore.model.positions import History, Position

if TYPE_CHECKING:
    from farshore.core.feeder import Feeder


ASK_EVERY: Final = 60.0
"""Seconds between two questions to a peer that is not fed."""


class Phase(Enum):
    """How far a session has come."""

    IDLE = auto()
    CONNECTING = auto()
    GREETING = auto()
    """Hello sent."""
    PREPARING = auto()
    """Resume or ResyncBegin sent; frames flow behind it."""
    LIVE = auto()


class FeederSession:
    """See the module."""

    def __init__(self, feeder: Feeder) -> None:
        shared = feeder.shared
        self._feeder = feeder
        self._outbox = shared.outbox
        self.phase = Phase.IDLE
        self.nonce = 0
        """The follower's name for this session; every link message carries it."""
        self._asked = shared.outbox.now
        """When the last session ended."""
        self.only_asks = False
        """The present session, or the last one, is to hear what the peer is, and feeds nothing."""
        self.met = False
        """True once the peer has answered since this engine started (rule D5)."""
        self.doubtful = False
        """Rule B3: the peer said that it may hold later writes in part."""
        self.residue: m.Residue | None = None
        """What the peer says that it may hold and we not (rule A5)."""
        self.peer_head: Position | None = None
        """Where the peer's history ended when it was met last."""
        self.parted: Position | None = None
        """Where its history had parted from ours, if it had."""
        self.rescue = ""
        """The name under which it is to keep what it has and we not (rule D7)."""
        self.faulted = ""
        """Rule C3: what the peer said of its own disk when it refused, or ended, the last session."""
        self.strange = False
        """The peer, with its key proved, has answered that it does not understand us: whether it was promoted
        it cannot say. That it is silent afterwards does not take this back."""
        self.refused: Refused | None = None
        """What the peer said when it was asked last, if it would not have us."""
        self.liveness = Liveness(shared.timing, shared.outbox.now)
        self.retry = Retry(shared.timing)

    @property
    def live(self) -> bool:
        """True while frames and link messages flow."""
        return self.phase is Phase.LIVE

    @property
    def begun(self) -> bool:
        """True once something was said to the peer."""
        return self.phase not in (Phase.IDLE, Phase.CONNECTING)

    @property
    def greeting(self) -> bool:
        """True between our hello and the message that asks the follower to make ready."""
        return self.phase is Phase.GREETING

    @property
    def wanted(self) -> bool:
        """Whether there should be a session now."""
        feeder = self._feeder
        if feeder.shared.keeper.header.fault:
            return False  # a faulted copy feeds nobody: its peer's content may be the better one
        if not feeder.shared.feeding():
            return False
        if feeder.retired or feeder.spec.resting or feeder.state in (LinkState.DIVERGED, LinkState.FAILED):
            return False
        if feeder.record.paused:
            # Rule D5 asks every peer, as long as writes wait for that; a pause only keeps it from being fed.
            return not self.met and feeder.shared.path.held and feeder.record.peer_copy is not None
        full = feeder.standing.reason is Reason.STORE_FULL  # rule E2: an operator goes on from there
        autosync = (feeder.spec.options.autosync and not full) or feeder.disk.live
        return feeder.wanted is not None or autosync or not self.met

    @property
    def _ask_due(self) -> bool:
        """Rule D6: a primary whose link rests for whatever reason asks its peer now and then, since that may
        have been promoted meanwhile, and tells so only when it is asked."""
        feeder, now = self._feeder, self._outbox.now
        header = feeder.shared.keeper.header
        if feeder.shared.relaying or header.fault or feeder.record.peer_copy is None:
            return False
        if feeder.retired or feeder.spec.resting or feeder.state is not LinkState.LOGGING:
            return False
        return now - self._asked >= ASK_EVERY

    def connect(self) -> None:
        """Open a connection if one is wanted and due."""
        if self.phase is not Phase.IDLE or not self.retry.due(self._outbox.now):
            return
        wanted = self.wanted
        if wanted or self._ask_due:
            self.only_asks = not wanted
            self.phase = Phase.CONNECTING
            self._outbox.emit(Connect(self._feeder.id))

    def connected(self) -> None:
        """The channel is up: greet."""
        feeder = self._feeder
        if self.phase is not Phase.CONNECTING:
            self._outbox.emit(Close(feeder.id, "", "nobody waits for this connection"))
            return
        self.liveness = Liveness(feeder.shared.timing, self._outbox.now)
        self.liveness.asked(self._outbox.now)
        self.phase = Phase.GREETING
        header = feeder.shared.keeper.header
        geometry = feeder.board.geometry
        feeder.send(
            m.Hello(
                m.PROTOCOL,
                header.group,
                feeder.id,
                feeder.spec.epoch,
                header.copy,
                feeder.shared.instance,
                feeder.shared.history(),
                geometry.region,
                tuple(sorted(geometry.sizes.items())),
                feeder.record.peer_copy,
                feeder.spec.options.first,
                feeder.spec.options.apply is Apply.JOURNAL,
                feeder.shared.chain(),
                feeder.spec.options.queue_memory,
            )
        )

    def welcome(self, peer: m.Welcome) -> None:
        """The peer has said what it holds: choose a course."""
        if self.phase is not Phase.GREETING:
            return
        feeder = self._feeder
        self.nonce = peer.session
        self.doubtful, self.faulted = peer.doubtful, ""
        self.refused, self.strange = None, False
        self.peer_head = head = peer.history.head
        feeder.undo_at = head.sequence if peer.undo and head is not None else None
        self.liveness.answered()
        self.met = True
        self.retry.succeeded()
        if completing.learn(feeder, peer):
            return
        blank_gets = kind_for(Course.FIRST, feeder.wanted, feeder.spec.options.first)
        mine, record = feeder.shared.history(), feeder.record
        decision = decide(record, feeder.board, mine, peer, Terms(blank_gets, feeder.spec.consent))
        course = decision.course
        self.rescue = feeder.spec.rescue if decision.apart else ""
        self._look_at(peer, course, mine)
        elsewhere = record.unmet or feeder.spec.epoch != record.epoch
        if elsewhere and course is not Course.REJOIN and (peer.resync is not None or peer.doubtful):
            # Rule B8: another feeder had it meanwhile, and what that one wrote there is in no map of ours.
            feeder.board.require(ResyncKind.DIGEST)
        if course in (Course.NEWER, Course.CONFLICT, Course.CHANGED):
            endings.diverge(feeder, course, decision.why)
            return
        if feeder.record.paused:
            feeder.close("", "the link is paused")  # it was only asked what it holds (rule D5)
            feeder.stop(*feeder.paused_by)
            return
        if self.only_asks and not self.wanted:
            feeder.close("", "it was only asked what it holds")
            self.ended()
            return
        known = feeder.record.peer_copy is not None
        if not known:
            feeder.remember(peer_copy=peer.copy)
        feeder.board.peer_copy = peer.copy
        if head is not None and feeder.disk.draining.possible(course, peer):
            feeder.disk.draining.begin(head)
        elif course is Course.RESUME and feeder.wanted in (None, ResyncKind.UPDATE) and not feeder.once:
            self._resume()
        elif known and feeder.wanted is None and not feeder.spec.options.autosync:
            feeder.close("", "autosync is off")
            feeder.stop(LinkEvent.STOP, "autosync is off")
        else:
            completing.begin(feeder, course)

    def _resume(self) -> None:
        """The peer lacks nothing: ordered frames follow from here."""
        feeder, position = self._feeder, self._feeder.shared.position()
        feeder.wanted = None
        feeder.start_stream(position)
        feeder.gate.close()
        self.prepare(m.Resume(self.nonce, feeder.shared.history(), position))

    def _look_at(self, peer: m.Welcome, course: Course, mine: History) -> None:
        """What is remembered of a peer that was met."""
        self.residue = peer.residue
        parted = course in (Course.NEWER, Course.CONFLICT, Course.REJOIN)
        self.parted = fork(mine, peer.history) if parted else None

    def prepare(self, message: m.Resume | m.ResyncBegin) -> None:
        """Ask the follower to make ready; frames flow behind this message."""
        self._feeder.send(message)
        self.liveness.asked(self._outbox.now)
        self.phase = Phase.PREPARING

    def ready(self) -> None:
        """The follower has made durable what was asked for."""
        if self.phase is Phase.PREPARING:
            self.liveness.answered()
            self.phase = Phase.LIVE
            self._feeder.went_live()

    def ended(self) -> None:
        """The channel is gone, or was given up."""
        self.phase = Phase.IDLE
        self._asked = self._outbox.now
        self.nonce = 0  # what was begun for this session ends with it
        self.retry.failed(self._outbox.now)

    def tick(self) -> str:
        """Heartbeats and attempts; returns why the session must end, or nothing."""
        now = self._outbox.now
        if self.phase is Phase.IDLE:
            self.connect()
        elif self.phase is not Phase.CONNECTING:
            if self.liveness.silent(now):
                return f"no sign of life for {self._feeder.shared.timing.limit:g} s"
            if self.liveness.owing(now):
                return "it shows signs of life and does not answer"
            beat = self.liveness.beat(now)
            if beat is not None:
                self._feeder.send(beat)
        return ""
