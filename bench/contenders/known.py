"""All contenders, by the names that scenarios use."""

from bench.contenders.base import Contender, Room
from bench.contenders.farshore import MANNERS, Farshore
from bench.contenders.limit import Limit
from bench.contenders.nbdkit import Nbdkit
from bench.contenders.qemu_mirror import QemuMirror, QemuMirrorUnix
from bench.contenders.qemu_nbd import QemuNbd
from bench.contenders.sites import Sites


def contenders(room: Room, sites: Sites) -> dict[str, Contender]:
    """Each one, not started."""
    every: list[Contender] = [Limit(room), Nbdkit(room), QemuNbd(room)]
    every += [QemuMirror(room), QemuMirrorUnix(room)]
    every += [Farshore(sites, manner) for manner in MANNERS]
    return {contender.name: contender for contender in every}
