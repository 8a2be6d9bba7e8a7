"""The oracle: sees everything, asks after every kind of event whether a rule of the law was broken.

It stands outside: what must hold is derived from what was issued and acknowledged (`truth`,
`prefix`) and from the images themselves (`dirt`). Of the core it reads only what a copy says of
itself to others: its state, its position, what it counts dirty.
"""

from __future__ import annotations

from collections.abc import Mapping

from farshore.core import actions as a
from farshore.core.feeder import Feeder
from farshore.core.primary import PrimarySetup
from farshore.core.secondary_setup import SecondarySetup
from farshore.model.header import Header
from farshore.model.layers import Layer, LayerKind
from farshore.model.messages import Ack, DigestQuery, Fill, Welcome
from farshore.model.options import AckLevel, LinkSpec, LinkState, Mode, OnOutage
from farshore.model.positions import Position
from sim import dirt
from sim.ages import Ages
from sim.app import Request
from sim.chain import Chain
from sim.prefix import Prefix
from sim.primary_site import PrimarySite, Witness
from sim.readers import Reader
from sim.relay_site import RelaySite, RelayWitness
from sim.secondary_site import SecondarySite
from sim.site import Site
from sim.stops import Stops
from sim.truth import Standing, Truth, raise_floors
from sim.upkeep import Upkeep
from sim.world import BrokenRule, World


class Follower:
    """What the oracle remembers of one link's peer."""

    def __init__(self, truth: Truth, site: SecondarySite, queue: int) -> None:
        self.site = site
        self.upkeep = Upkeep(queue)
        self.prefix = Prefix(truth)
        self.reader = Reader(truth)
        self.highest = 0
        """The last sequence of any frame that it began to apply."""
        self.power_lost = False
        """Its machine crashed since its process last started."""
        self.demands_doubt = False
        """If its image is no prefix, it has to say so: it lost more than a process."""
        self.excused = False
        """It cannot know what it lost."""
        self.sessions: dict[int, int] = {}
        """Nonce of each session -> boot of the machine that it began under."""
        self.session = 0
        """Nonce of the session that the primary is in."""
        self.told: dict[int, int] = {}
        """Nonce of each session -> the newest sequence that was said to be applied in it."""
        self.tampered = False
        """Its state was rolled back or wiped: it promises nothing any more."""
        self.stranger = False
        """It came back as another copy: it must end as diverged."""

        self.cut_off = False
        """A copy that it is fed through was tampered with."""

    def had_and_lost(self, sequence: int) -> bool:
        """Whether it said in the primary's session that it had applied this write, and its machine lost
        power since then: what was acknowledged by that was not acknowledged alone."""
        lost_power = self.sessions.get(self.session) != self.site.boots
        return lost_power and self.told.get(self.session, 0) >= sequence


class Oracle(Witness, RelayWitness):
    """See the module."""

    def __init__(self, world: World, primary: PrimarySite, truth: Truth) -> None:
        self.world = world
        self.primary = primary
        self.truth = truth
        self.followers: dict[bytes, Follower] = {}
        self.direct: dict[bytes, Follower] = {}
        """Those that the primary feeds itself."""
        self.ages = Ages()
        self.stops = Stops()
        self.chain = Chain(self._claims, self.ages)
        self._by_site: dict[Site, Follower] = {}
        self._alone_recorded: set[bytes] = set()
        self._covered = 0

    def follow(self, spec: LinkSpec, site: SecondarySite, feeder: RelaySite | None = None) -> None:
        """A link's peer; `feeder` where that is not the primary."""
        follower = Follower(self.truth, site, spec.options.queue_memory)
        self.followers[spec.id] = self._by_site[site] = follower
        if feeder is None:
            self.direct[spec.id] = follower
        else:
            self.chain.follow(spec.id, feeder, follower)

    def tamper(self, link: bytes) -> Follower:
        """Somebody is about to tamper with a link's peer."""
        follower = self.followers[link]
        follower.tampered = True
        self.chain.tampered_with(follower.site)
        return follower

    # -- the application --------------------------------------------------------------------------

    def answered(self, request: Request) -> None:
        """The application was told."""
        if request.errno:
            self.world.reached["errors to the application"] += 1
            return
        standings = [self._standing(feeder) for feeder in self.primary.core.feeders.values()]
        self.truth.acknowledged(request, [each for each in standings if each is not None])
        if request.operation[3]:
            self._check_alone(request)

    def _standing(self, feeder: Feeder) -> Standing | None:
        options = feeder.spec.options
        if options.mode is not Mode.SYNC or self.followers[feeder.id].tampered:
            return None
        if feeder.state is not LinkState.REPLICATING and not self._frozen(feeder):
            return None
        durable = options.ack is AckLevel.DURABLE
        follower = self.followers[feeder.id]
        # What was applied only is gone with the peer's power, of which the primary may not know yet.
        powered = follower.sessions.get(follower.session) == follower.site.boots
        return Standing(feeder.id, powered and options.ack is not AckLevel.RECEIVED, durable, True)

    def _frozen(self, feeder: Feeder) -> bool:
        """Rule C4: a freeze link that has replicated once covers every acknowledgement."""
        record = self.primary.header_file.header.link(feeder.id)
        frozen = feeder.spec.options.on_outage is OnOutage.FREEZE
        return frozen and record is not None and record.ever_replicated

    def _check_alone(self, request: Request) -> None:
        """Rule C4: what a sync peer lacks is acknowledged only after the header says so, durably."""
        for feeder in self.primary.core.feeders.values():
            follower = self.followers[feeder.id]
            if feeder.spec.options.mode is not Mode.SYNC or feeder.state is LinkState.REPLICATING:
                continue
            if follower.tampered or not self.truth.peer_lacks(request, follower.site.images()):
                continue
            if feeder.spec.options.ack is not AckLevel.DURABLE and follower.had_and_lost(request.sequence):
                continue
            raise_floors(self.truth.promise(feeder.id).alone, request)
            record = self.primary.header_file.header.link(feeder.id)
            if record is None or record.alone_since is None:
                raise BrokenRule("C4", f"sequence {request.sequence} was acknowledged alone, unrecorded")

    # -- the primary ------------------------------------------------------------------------------

    def starting(self, site: PrimarySite, setup: PrimarySetup) -> None:
        for link, follower in self.direct.items():
            if not follower.tampered:
                clean = dirt.differing(site, follower.site, setup.geometry)
                clean -= dirt.dirty_on_disk(setup, link)
                if clean:
                    raise BrokenRule(
                        "A1", f"after a restart, clean on disk but differing: {dirt.listed(clean)}"
                    )

    def started(self, site: PrimarySite) -> None:
        images = {volume: bytes(image) for volume, image in site.images().items()}
        self.truth.begun(site.core.generation, images)
        self.check_dirt()

    def issuing(self, site: PrimarySite, action: a.Issue) -> None:
        geometry, logged = site.plan.geometry, site.logged
        for volume, _, offset, length in action.operations:
            for extent in geometry.extents_of(offset, length):
                if logged is None or (volume, extent) not in logged:
                    raise BrokenRule("A2", f"extent {extent} of volume {volume} is not in the activity log")
        self.ages.issued(action.first + len(action.operations) - 1, self.world.now)
        self.stops.issued(sum(len(each) for each in action.payloads if each is not None))
        self.truth.issued(
            site.core.generation, action.first, action.follows, action.operations, action.payloads
        )

    def layer_begins(self, site: PrimarySite, layer: Layer) -> None:
        assert layer.mark is not None
        shown, held = self.truth.images_at(layer.mark), site.images()
        if shown is not None and shown != held:
            raise BrokenRule("H", f"the layer at {layer.mark.sequence} begins with something else")
        if not all(site.settled(volume, 0, size) for volume, size in site.sizes.items()):
            raise BrokenRule("E1", f"the layer at {layer.mark.sequence} begins with what power may take")

    def write_failed(self, site: PrimarySite, sequence: int) -> None:
        self.truth.stretches[site.core.generation].failed.add(sequence)

    def heard_of(self, site: Site, link: bytes, message: object) -> None:
        if isinstance(message, Welcome):
            self.followers[link].session = message.session
            self.stops.met(link)
        self._watch_alone()

    def _watch_alone(self) -> None:
        """Rule C4: `alone since` is cleared only when all of it is durable at the peer."""
        for link, follower in self.direct.items():
            if follower.tampered:
                continue
            record = self.primary.header_file.header.link(link)
            if record is None or record.alone_since is not None:
                self._alone_recorded.add(link)
            elif link in self._alone_recorded:
                self._alone_recorded.discard(link)
                self.truth.check_durable(link, follower.site)

    def primary_died(self, machine: bool) -> None:
        """The primary's process, or its machine, is gone (rules C1, C2, C4)."""
        for link, follower in self.followers.items():
            if not follower.tampered:
                self.truth.check_peer(link, follower.site.images(), power_lost=False)
        self.truth.settle(self.primary.images(), power_lost=machine)

    def cache_lost(self, site: PrimarySite) -> None:
        self.truth.settle(site.images(), power_lost=False, cache_lost=True)

    def recalling(self, site: RelaySite, setup: SecondarySetup) -> None:
        follower = self._by_site[site]
        if not follower.tampered:
            self.chain.recalling(site, setup)

    def relaying(self, site: RelaySite, link: bytes, sequence: int) -> None:
        self.chain.relaying(site, link, sequence)

    # -- secondaries ------------------------------------------------------------------------------

    def secondary_died(self, site: Site, machine: bool) -> None:
        """A secondary's process, or its machine, is gone."""
        self._lost(site, machine=machine)

    def _lost(self, site: Site, *, machine: bool) -> None:
        follower = self._by_site[site]
        follower.power_lost |= machine
        if not follower.tampered:
            link = next(link for link, each in self.followers.items() if each is follower)
            self.truth.check_peer(link, site.images(), power_lost=machine)

    def lost_cache(self, site: SecondarySite) -> None:
        self._lost(site, machine=True)
        follower = self._by_site[site]
        # A process that was killed between the failed sync and its record cannot know of it.
        follower.excused = not site.header_file.header.fault

    def resumed(self, site: SecondarySite) -> None:
        follower, core, header = self._by_site[site], site.core, site.header_file.header
        prefix, position = follower.prefix, Position(core.generation, core.applied)
        if header.resync is not None or header.history.blank or follower.tampered:
            prefix.lost()
        elif prefix.position is None:
            prefix.claimed(position, site.images())
        else:
            prefix.restarted(position, follower.highest, None if follower.power_lost else site.images())
        if follower.power_lost:
            follower.demands_doubt = not follower.excused
        follower.power_lost = follower.excused = False
        if site.journaled and not follower.tampered:
            # Rule B2: a replay leaves a prefix whatever has happened, and the copy knows it.
            follower.demands_doubt = True
            if not core.consistent and not site.doubted:
                raise BrokenRule("B2", "a copy with a journal doubts what it has replayed")
        self._check_follower(follower)
        if not follower.tampered:
            self.chain.resumed(site)

    def stopped(self, site: SecondarySite) -> None:
        if site.header_file.header.clean and site.journal.replay.frames:
            raise BrokenRule("B2", "a clean stop leaves frames that only the journal has")

    def passed(self, site: SecondarySite, cut: Position) -> None:
        if (cut.generation, cut.sequence) not in self.truth.cuts:
            raise BrokenRule("H", f"a follower passes a cut at {cut.sequence}, which is none")
        if self._by_site[site].prefix.position is None and not self._by_site[site].tampered:
            raise BrokenRule("H", f"a follower that is no prefix says that it has the cut at {cut.sequence}")

    def snapshot_begins(self, site: SecondarySite, layer: Layer, images: Mapping[int, bytes]) -> None:
        follower = self._by_site[site]
        if layer.kind is LayerKind.SNAPSHOT and layer.mark is not None and not follower.tampered:
            follower.prefix.shows(layer.mark, images)

    def applying(self, site: SecondarySite, position: Position) -> None:
        follower, upstream = self._by_site[site], site.header_file.header.upstream
        if upstream is None or upstream.link != site.plan.link:
            raise BrokenRule("B8", f"{site.name} was pointed elsewhere, and is fed by its former feeder")
        self._known(site, position)
        follower.highest = max(follower.highest, position.sequence)

    def _known(self, site: SecondarySite, position: Position | None) -> None:
        if position is not None and position.generation not in self.truth.stretches:
            raise BrokenRule("B8", f"{site.name} follows somebody who is not the primary")

    def carrying(self, site: SecondarySite, action: a.Action) -> None:
        self._by_site[site].upkeep.carrying(site, action)

    def ticked(self, site: SecondarySite) -> None:
        follower = self._by_site[site]
        follower.upkeep.ticked(site)
        if not follower.tampered and not follower.cut_off:
            self.ages.of_itself(site)

    def applied(self, site: SecondarySite, position: Position) -> None:
        self._by_site[site].upkeep.applied(site)
        self._by_site[site].prefix.applied(position)

    def apply_failed(self, site: SecondarySite, position: Position) -> None:
        self._by_site[site].prefix.in_part(position.sequence)

    def said(self, site: SecondarySite, message: object) -> None:
        if isinstance(message, Welcome):
            self._by_site[site].sessions[message.session] = site.boots
        elif isinstance(message, Ack):
            self._by_site[site].told[message.session] = message.applied

    def recorded(self, site: SecondarySite, header: Header) -> None:
        follower, head = self._by_site[site], header.history.head
        self._known(site, head)
        if header.resync is not None:
            follower.prefix.lost()
        elif follower.prefix.position is None and head is not None and not follower.tampered:
            # The completion cut is durable: the stream was held there.
            follower.prefix.claimed(head, site.images())

    def _check_follower(self, follower: Follower) -> None:
        site = follower.site
        if not follower.prefix.doubt:
            follower.demands_doubt = False
        if site.running and not site.replaying and not follower.tampered and not site.core.fault:
            doubtful = not site.core.consistent or not follower.demands_doubt
            follower.prefix.check(site.images(), doubtful=doubtful)
            follower.reader.look(site, follower.prefix.position is not None)

    # -- at any moment ----------------------------------------------------------------------------

    def check(self) -> None:
        """What must hold at any instant between two events."""
        for follower in self.followers.values():
            self._check_follower(follower)
        self.check_dirt()
        self.chain.check()

    def check_dirt(self) -> None:
        """Rule A1 for a running primary."""
        if not self.primary.running:
            return
        core = self.primary.core
        for link, follower in self.direct.items():
            feeder = core.feeders.get(link)
            if feeder is None or not self._claims(feeder, follower):
                continue
            if not follower.tampered:
                self.stops.check(self.primary, feeder, follower.site)
                dirt.check_findings(feeder)
                self.ages.of_peer(self.primary, core, feeder)
            clean = dirt.differing(self.primary, follower.site, core.geometry)
            if clean:
                clean -= dirt.dirty_now(core, feeder)
            if clean:
                clean -= dirt.in_flight(core)
            if clean:
                raise BrokenRule("A1", f"clean but differing: {dirt.listed(clean)}")

    def _claims(self, feeder: Feeder, follower: Follower) -> bool:
        """Whether the link's dirt has to be right: not before the primary has looked at a peer that was
        tampered with, and not where it refuses to have anything to do with it."""
        going_on = feeder.state in (LinkState.RESYNCING, LinkState.REPLICATING)
        known = follower.sessions.get(follower.session) == follower.site.boots
        if going_on and known and follower.stranger:
            raise BrokenRule("D3", f"link {feeder.spec.name} goes on with another copy")
        return not follower.tampered or (going_on and known)

    def converged(self) -> str:
        """Empty when every link is back to order and every image equal (rule F2); else what is missing."""
        core = self.primary.core
        tampered = any(follower.tampered for follower in self.direct.values())
        if core.fenced:
            return "" if tampered else f"the primary is fenced: {core.fenced}"
        for link, follower in self.direct.items():
            feeder = core.feeders[link]
            if follower.tampered and feeder.state is LinkState.DIVERGED:
                continue
            if feeder.state is not LinkState.REPLICATING:
                return f"link {feeder.spec.name} is {feeder.state} ({feeder.standing.reason}, {feeder.why})"
            left = dirt.dirty_now(core, feeder)
            if left:
                return f"link {feeder.spec.name} counts dirty: {dirt.listed(left)}"
            if self.primary.images() != follower.site.images():
                return f"the images of link {feeder.spec.name} differ"
        return self.chain.converged()


def describe(message: object) -> str:
    """A message for the trace, without its data."""
    if isinstance(message, Fill):
        where = f"{message.volume} {message.offset}+{message.length}"
        return f"Fill({message.ordinal} at {message.sequence}: {where})"
    if isinstance(message, DigestQuery):
        return f"DigestQuery({message.ordinal} at {message.sequence}: {message.volume} {message.offset})"
    return str(message)
