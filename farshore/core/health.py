"""One word per group, the sentence behind it, and the next command (section G of the law)."""

from __future__ import annotations

from dataclasses import dataclass

from farshore.core.headway import Rates
from farshore.model.options import Health, LinkState, Reason
from farshore.model.units import format_size

_MIB = 1 << 20
_WORST_FIRST = (
    Health.FAILED,
    Health.DIVERGED,
    Health.UNPROTECTED,
    Health.CATCHING_UP,
    Health.BEHIND,
    Health.PROTECTED,
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A group's or link's health, why, and what to do."""

    health: Health
    why: str
    next_step: str


@dataclass(frozen=True, slots=True)
class LinkFacts:
    """What the health of one link depends on."""

    name: str
    state: LinkState
    reason: Reason
    why: str
    lag: float | None
    rpo: float
    autosync: bool
    next_step: str = ""
    """What to do about a peer that will not come back by itself."""
    doubted: str = ""
    """Rule C3: the fault of ours that stopped the link."""
    rates: Rates | None = None
    """Rule E4: of a resync."""
    found: int = 0
    """Rule E7: bytes of the peer's copy that a verify has found to differ."""
    alone: bool = False
    """Rule C4: writes were acknowledged that this sync link's peer may still lack."""


def of_link(group: str, link: LinkFacts) -> Verdict:
    """The health that one link gives its group."""
    name = f"link {link.name}"
    match link.state:
        case LinkState.REPLICATING if link.found:
            return Verdict(
                Health.FAILED,
                f"{name} replicates, but {format_size(link.found)} differ at its peer, as a verify has found",
                f"farshore verify {group} --link {link.name} --repair",
            )
        case LinkState.REPLICATING if link.lag is not None and link.lag > link.rpo:
            return Verdict(Health.BEHIND, f"{name} lags {link.lag:.1f} s, its RPO is {link.rpo:g} s", "")
        case LinkState.REPLICATING if link.lag is None:
            return Verdict(Health.BEHIND, f"{name} sends what was written before the last start", "")
        case LinkState.REPLICATING if link.alone:
            return Verdict(Health.BEHIND, f"{name}: its peer still lacks writes that were acknowledged", "")
        case LinkState.REPLICATING:
            return Verdict(Health.PROTECTED, f"{name} replicates every write in order", "")
        case LinkState.QUEUING:
            return Verdict(Health.BEHIND, f"{name} keeps writes in its queue", "")
        case LinkState.RESYNCING if link.rates is not None and link.rates.loses:
            copied, marked = link.rates.copied / _MIB, link.rates.marked / _MIB
            why = f"{name} copies {copied:.1f} MiB/s and writes mark {marked:.1f} MiB/s of it anew"
            return Verdict(Health.CATCHING_UP, why, "it ends once less is written, or more fits on the line")
        case LinkState.RESYNCING:
            return Verdict(Health.CATCHING_UP, f"{name} copies what its peer lacks", "")
        case LinkState.DIVERGED:
            return Verdict(
                Health.DIVERGED,
                f"{name}: {link.why or link.reason}",
                f"farshore split-brain show {group}, then decide which copy to keep",
            )
        case LinkState.FAILED:
            return Verdict(Health.FAILED, f"{name}: {link.why or link.reason}", f"farshore status {group}")
        case _:
            return _logging(group, link)


def _logging(group: str, link: LinkFacts) -> Verdict:
    name = f"link {link.name}"
    if link.doubted:
        why = f"{name} was stopped by a fault here ({link.doubted}); the peer may have the better data"
        return Verdict(
            Health.UNPROTECTED, why, "look at both copies first: farshore resync copies over the peer"
        )
    if link.reason is Reason.VERIFY:
        return Verdict(
            Health.UNPROTECTED,
            f"{name} was stopped by a verify: {format_size(link.found)} differ at its peer",
            f"farshore verify {group} --link {link.name} --repair",
        )
    why = f"{name} only logs what changes ({link.reason}{': ' + link.why if link.why else ''})"
    if link.reason is Reason.OPERATOR or not (link.autosync or link.next_step):
        return Verdict(Health.UNPROTECTED, why, f"farshore resync {group} --link {link.name}")
    if link.next_step:
        return Verdict(Health.UNPROTECTED, why, link.next_step)
    return Verdict(Health.UNPROTECTED, why, "the link goes on by itself when its peer answers")


def of_group(group: str, fault: str, fenced: str, links: list[LinkFacts]) -> Verdict:
    """The worst of its links; a fault of the copy itself outranks them."""
    if fault:
        return Verdict(Health.FAILED, fault, f"see to the disk, then farshore repair {group}")
    if fenced:
        return Verdict(
            Health.DIVERGED, fenced, f"farshore split-brain show {group}, then decide which copy to keep"
        )
    if not links:
        return Verdict(Health.UNPROTECTED, "the group has no link", f"farshore link create {group} NODE")
    verdicts = [of_link(group, link) for link in links]
    return min(verdicts, key=lambda verdict: _WORST_FIRST.index(verdict.health))
