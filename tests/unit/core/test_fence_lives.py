"""Short lives of a former primary and of two copies that were promoted in its place, drawn from a seed:
machines restart, lines are cut, headers are not durable yet, a state directory comes back from an old backup,
plans are made. A promoted copy whose machine has restarted writes only on the word of the former one, and
that one keeps its word (rules D5, D6)."""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import pytest

from farshore.core import actions as a
from farshore.core import fences, refusals
from farshore.core.geometry import Geometry
from farshore.core.primary import Primary, PrimarySetup
from farshore.model.header import Header, LinkRecord, Successor, Upstream
from farshore.model.messages import Hello, Refusal
from farshore.model.options import LinkSpec, Role
from farshore.model.positions import History, Position, Stretch
from farshore.model.volumes import WRITE
from tests.long_form import LONG
from tests.unit.core.pair import KIB, REGION, SYNC
from tests.unit.core.shells import TIMING, Near, new_id

GROUP, WRITTEN = b"g" * 16, Stretch(b"1" * 16, 100)
COPIES = {"a": b"a" * 16, "b": b"b" * 16, "c": b"c" * 16}
FEEDS = {"b": b"ab" * 8, "c": b"ac" * 8}
"""The links by which `a` fed the others, when it was the only primary."""
KINDS = (
    *("time",) * 6, *("restart",) * 3, *("reboot",) * 4, "cut", "mend", "mend", *("slow header",) * 3,
    "quick header", "promote", "promote", "an old backup", "reinstate",
)  # fmt: skip


@dataclass
class Site:
    """One machine with its copy. `asks`: whom it asks by which link."""

    name: str
    near: Near
    asks: dict[bytes, str]
    opened: list[a.Action]
    """What it has given to its lines."""
    machine: int = 1
    alive: bool = False
    rebooted: bool = False
    """Its process began in a new boot, and carried no turn out."""
    tokens: list[object] = field(default_factory=list)

    def write(self) -> None:
        """One more write of the application."""
        token = object()
        self.tokens.append(token)
        self.near.submit([(1, WRITE, 0, 512)], [b"!" * 512], [token])

    @property
    def writes(self) -> bool:
        """Whether its process has acknowledged one of them."""
        return any(self.near.replies.get(token) == 0 for token in self.tokens)


class Life:
    """One life; `word_given`: a copy writes on the word of `a`."""

    undurable = False
    """Broken on purpose: what is answered is not durable yet."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = 100.0
        self.cut: set[frozenset[str]] = set()
        self.word_given = False
        self.underway: list[tuple[Site, Primary, Refusal, bytes]] = []
        """Answers on their way."""
        history = History((WRITTEN,))
        former = Header(GROUP, COPIES["a"], Role.PRIMARY, history=history, ceiling=100, boot="a1")
        records = [LinkRecord(link, 1, COPIES[name], ever_replicated=True) for name, link in FEEDS.items()]
        self.sites = {
            "a": self._site("a", replace(former, links=tuple(records)), {FEEDS["b"]: "b", FEEDS["c"]: "c"})
        }
        self.heard: set[bytes] = set()
        """Turns of which `a` has heard, durably."""
        self.hearing: set[bytes] = set()

    def _site(self, name: str, header: Header, asks: dict[bytes, str]) -> Site:
        specs = tuple(LinkSpec(link, other, "peer", SYNC) for link, other in asks.items())
        geometry = Geometry({1: 64 * KIB}, REGION, 16 * KIB)
        hot: frozenset[tuple[int, int]] = frozenset()
        setup = PrimarySetup(
            header, geometry, specs, {}, hot, 16, header.boot, new_id(), new_id, TIMING, reserve=1000
        )
        taken: list[a.Action] = []
        return Site(name, Near(setup, taken.append), asks, taken)

    # -- what happens ---------------------------------------------------------------------------

    def run(self) -> None:
        self._start("a")
        for _ in range(self.random.randint(12, 40)):
            self.step(self.random.choice(KINDS), self.random.choice(list(self.sites)))
            for site in self.sites.values():
                self._check(site)
                if site.alive:
                    site.write()

    def step(self, kind: str, name: str) -> None:
        site = self.sites[name]
        match kind:
            case "time":
                for _ in range(8):
                    self._turn()
            case "restart" | "reboot":
                site.machine += kind == "reboot"
                self._end(site)
                self._start(name)
                self._turn()
            case "cut":
                self.cut.add(frozenset(self.random.sample(sorted(COPIES), 2)))
            case "mend":
                self.cut.clear()
            case "slow header" if site.alive:
                site.near.hold.add(a.WriteHeader)
            case "quick header" if site.alive:
                self._let(site)
            case "promote":
                self._promote(self.random.choice("bc"))
            case "an old backup" if name != "a":
                self._end(site)
                site.near.header = replace(site.near.header, turn=b"old" * 5 + b"!")
                site.machine += 1
                self._start(name)
            case "reinstate" if len(self.sites) > 1:
                self._reinstate()

    def _promote(self, name: str) -> None:
        """A failover that reaches nobody else; the copy follows `a` until then."""
        if name in self.sites:
            return
        turn, link = new_id(), new_id()
        upstream = Upstream(FEEDS[name], 1, COPIES["a"])
        known = COPIES["a"] if self.random.random() < 0.5 else None
        header = Header(
            GROUP, COPIES[name], Role.PRIMARY, history=History((WRITTEN,)), ceiling=100, boot=f"{name}1",
            upstream=upstream, turn=turn, links=(LinkRecord(link, 1, known, unmet=True),),
        )  # fmt: skip
        self.sites[name] = self._site(name, header, {link: "a"})
        self._start(name, turned=True)

    def _reinstate(self) -> None:
        """A plan keeps `a`: the others are secondaries by then, and `a` has a turn of its own."""
        for name in ("b", "c"):
            if (gone := self.sites.pop(name, None)) is not None:
                self._end(gone)
        site = self.sites["a"]
        self._end(site)
        header = site.near.header
        site.near.header = replace(header, fenced="", successor=None, turn=new_id())
        self.heard.clear()
        self.hearing.clear()
        self.word_given = False
        self._start("a")

    def _start(self, name: str, *, turned: bool = False) -> None:
        site = self.sites[name]
        boot = f"{name}{site.machine}"
        site.rebooted = not turned and site.near.header.boot != boot
        site.near.start(boot, "wait", turned=turned)
        site.near.core.clock(self.now, self.now)
        site.alive, site.tokens = True, []
        site.near.run(site.near.core.start())

    def _end(self, site: Site) -> None:
        site.near.forget()
        site.opened.clear()
        site.alive = False
        if site.name == "a":
            self.hearing = set(self.heard)

    def _let(self, site: Site) -> None:
        site.near.let_all()
        if site.name == "a" and site.near.header.fenced:
            self.heard = set(self.hearing)

    def _turn(self) -> None:
        self.now += 0.05
        answers, self.underway = self.underway, []
        for site, core, said, link in answers:
            if site.near.core is core and site.alive:
                if said.code == fences.PROMOTED:
                    self.hearing.add(said.turn)
                site.near.run(core.received(link, said))
        for site in list(self.sites.values()):
            if site.alive:
                site.near.core.clock(self.now, self.now)
                site.near.settle()
                site.near.run(site.near.core.tick())
                self._carry(site)
                if a.WriteHeader not in site.near.hold:
                    self._let(site)

    def _carry(self, site: Site) -> None:
        """Whoever wants to connect asks, and hears what the other one says."""
        core = site.near.core
        for action in self._taken(site):
            if not isinstance(action, a.Connect):
                continue
            other = self.sites.get(site.asks[action.link])
            away = frozenset((site.name, site.asks[action.link])) in self.cut
            if other is None or not other.alive or away:
                site.near.run(core.disconnected(action.link, "unreachable"))
                continue
            site.near.run(core.connected(action.link))
            for sent in self._taken(site):
                if isinstance(sent, a.Send) and isinstance(sent.message, Hello):
                    self.underway.append((site, core, self._answer(other, sent.message), action.link))

    def _taken(self, site: Site) -> Iterable[a.Action]:
        taken = list(site.opened)
        site.opened.clear()
        return taken

    def _answer(self, other: Site, hello: Hello) -> Refusal:
        header = other.near.header
        upstream = header.upstream
        if upstream is not None and upstream.link == hello.link:
            return fences.answer_to_former(other.near.core.keeper.header, hello)
        durable = other.near.core.keeper.header if self.undurable else header
        return fences.answer_to_successor(durable, hello)

    # -- rules --------------------------------------------------------------------------------

    def _check(self, site: Site) -> None:
        former = self.sites["a"]
        if site.name == "a":
            if self.word_given:
                assert not site.writes, "D6: a former primary writes beside the copy that it gave its word to"
            return
        if not (site.alive and site.rebooted and site.writes):
            return
        if not site.near.core.opened or self.word_given:
            return
        assert self.heard == {site.near.header.turn}, "D5: a promoted copy writes that nobody answered"
        assert former.near.header.fenced, "D5: what it was told would not outlive the one who said it"
        self.word_given = True
        former.tokens = [each for each in former.tokens if each not in former.near.replies]


LIVES = 20_000 if LONG else 60


def test_d5_a_promoted_copy_that_restarts_writes_on_the_former_ones_word_alone() -> None:
    given = 0
    for seed in range(LIVES):
        life = Life(seed)
        life.run()
        given += life.word_given
    assert given > 3


def _first(header: Header, why: str, told: Successor | None) -> Header:
    return replace(header, fenced=header.fenced or why, successor=header.successor or told)


BROKEN = {
    "what is not durable is answered": (Life, "undurable", True),
    "any turn will do": (refusals, "_knows_our_turn", lambda feeder, refusal: refusal.code == fences.FENCED),
    "of two promotions the first is answered": (fences, "raised", _first),
    "a fence is answered that nobody's turn has raised": (
        refusals, "_knows_our_turn", lambda feeder, refusal: refusal.code in (fences.FENCED, "wrong-feeder"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_rule_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where, what, broken = BROKEN[name]
    monkeypatch.setattr(where, what, broken)
    for seed in range(1000):
        try:
            Life(seed).run()
        except AssertionError:
            return
    pytest.fail(f"none of 1000 lives notices that {name}")


class TestOneQuestion:
    """What is answered to whom."""

    told = Header(
        GROUP, COPIES["a"], Role.PRIMARY, history=History((WRITTEN,)), fenced="promoted",
        links=(LinkRecord(FEEDS["b"], 1, COPIES["b"]),), successor=Successor(FEEDS["b"], b"t" * 16),
    )  # fmt: skip
    hello = Hello(1, GROUP, b"n" * 16, 1, COPIES["b"], b"i" * 16, History((WRITTEN,)), 4096, (), None)

    def test_the_copy_by_which_it_was_fenced_is_told_the_turn(self) -> None:
        said = fences.answer_to_successor(self.told, self.hello)
        assert (said.code, said.turn) == ("fenced", b"t" * 16)
        assert said == fences.answer_to_successor(self.told, replace(self.hello, peer_copy=COPIES["a"]))

    @pytest.mark.parametrize(
        "asked", [{"copy": COPIES["c"]}, {"group": b"x" * 16}, {"peer_copy": COPIES["c"]}]
    )
    def test_nobody_else_is(self, asked: dict[str, bytes]) -> None:
        said = fences.answer_to_successor(self.told, replace(self.hello, **asked))  # type: ignore[arg-type]
        assert (said.code, said.turn) == ("wrong-feeder", b"")

    def test_nor_is_anybody_after_a_turn_of_its_own(self) -> None:
        free = replace(self.told, fenced="", successor=None)
        assert fences.answer_to_successor(free, self.hello).code == "wrong-feeder"

    def test_a_fence_remembers_one_promotion_and_none_of_two(self) -> None:
        first, second = Successor(FEEDS["b"], b"t" * 16), Successor(FEEDS["c"], b"u" * 16)
        free = replace(self.told, fenced="", successor=None)
        once = fences.raised(free, "promoted", first)
        assert (once.fenced, once.successor) == ("promoted", first)
        assert fences.raised(once, "again", first) == once
        assert fences.raised(once, "another", second).successor is None
        assert fences.raised(fences.raised(once, "another", second), "again", first).successor is None
        assert fences.raised(fences.raised(free, "newer", None), "again", first).successor is None


def test_the_promoted_copy_of_a_life_stands_where_the_former_one_did() -> None:
    """The lives above mean what they say."""
    life = Life(0)
    life._start("a")
    life._promote("b")
    assert life.sites["b"].near.header.history.holds(Position(WRITTEN.generation, WRITTEN.last))
