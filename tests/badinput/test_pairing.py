"""Tokens that are no good, and peers that are not known."""

import datetime as dt
import time
from dataclasses import replace

from farshore.node import invitations
from tests.badinput.scene import Expected, Scene
from tests.command_line import pair
from tests.waiting import wait_until

_INVITE = Expected("bad-token", "farshore node invite")


def _join(scene: Scene, token: str, expected: Expected, address: str = "") -> None:
    words = f"node join {address or scene.b.listen}"
    scene.refused(scene.c, words, expected, env={"FARSHORE_TOKEN": token})


def test_a_token_that_is_wrong(scene: Scene) -> None:
    token: str = scene.b.done("node", "invite", "--json")["token"]
    real = invitations.decode(token)
    for wrong in ("nonsense", token[:-7], replace(real, secret="00" * 32).encode()):
        _join(scene, wrong, _INVITE)
    # A token for another certificate: whoever answers there is told nothing, the secret least of all.
    other = replace(real, fingerprint="00" * 32).encode()
    _join(scene, other, Expected("unknown-peer", "check the address"))
    _join(scene, token, Expected("unreachable", "node runs"), address="127.0.0.1:1")


def test_a_token_that_was_used(scene: Scene) -> None:
    token: str = scene.b.done("node", "invite", "--json")["token"]
    scene.a.done("node", "join", scene.b.listen, env={"FARSHORE_TOKEN": token})  # they knew each other before
    _join(scene, token, _INVITE)
    scene.unharmed()


def test_a_token_that_has_expired(scene: Scene) -> None:
    shown = scene.b.done("node", "invite", "--ttl", "1s", "--json")
    expires = dt.datetime.fromisoformat(shown["expires"]).timestamp()
    wait_until(lambda: time.time() > expires, what="the token to expire")
    _join(scene, shown["token"], _INVITE)


def test_a_peer_that_nobody_knows(scene: Scene) -> None:
    unknown = Expected("not-found", "farshore node list")
    scene.refused(scene.a, "link create spare nobody", unknown)
    scene.refused(scene.b, "group show spare", Expected("not-found", "farshore group list"))


def test_a_peer_that_does_not_know_us_any_more(scene: Scene) -> None:
    scene.c.done("node", "forget", "a")
    scene.refused(scene.a, "link create spare c", Expected("unknown-peer", "farshore node invite"))
    pair(scene.a, scene.c)
