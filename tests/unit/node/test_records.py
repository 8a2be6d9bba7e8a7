"""The node's small records: whole or not at all, never of a newer version, never readable by others."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from farshore.errors import FarshoreError
from farshore.node import documents, identity, invitations, settings
from farshore.node.invitations import Invitations
from farshore.node.paths import Paths
from farshore.node.peers import PeerBook
from farshore.node.settings import Said

READERS: dict[str, Callable[[Path], object]] = {
    "document": documents.read,
    "peers": lambda path: PeerBook(path, "a", "00"),
    "invitations": Invitations,
}


def certificate(name: str) -> str:
    return identity.make_certificate(name)[1].decode()


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "state-damaged"),
        ("{", "state-damaged"),
        ("[]", "state-damaged"),
        ("{}", "state-damaged"),
        ('{"version":2}', "state-newer"),
        ('{"version":"x"}', "state-damaged"),
        ("\xff\xfe", "state-damaged"),
    ],
)
def test_what_is_no_record_of_ours_is_refused(tmp_path: Path, kind: str, text: str, code: str) -> None:
    path = tmp_path / "record"
    path.write_text(text, "latin-1")
    with pytest.raises(FarshoreError) as caught:
        READERS[kind](path)
    assert caught.value.code.name == code
    assert path.read_text("latin-1") == text


def test_a_record_is_replaced_whole_and_private(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "record"
    documents.write(path, {"a": 1})
    documents.write(path, {"a": 2})
    assert documents.read(path) == {"version": 1, "a": 2}
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["record"]


def test_peers_are_kept_and_names_are_unique(tmp_path: Path) -> None:
    book = PeerBook(tmp_path / "peers.json", "self", "00")
    first = certificate("b")
    peer = book.add("b", first, "[::1]:7411")
    book.allow("b", "/srv/*")
    book.set_address("b", "10.0.0.1:1")
    again = PeerBook(tmp_path / "peers.json", "self", "00")
    assert again.all() == book.all()
    assert (again.named("b").address, again.named("b").grants) == ("10.0.0.1:1", ("/srv/*",))
    assert again.by_id(peer.id) == again.named("b")
    for name, pem in (("b", certificate("x")), ("self", certificate("x"))):
        with pytest.raises(FarshoreError) as caught:
            again.add(name, pem, "h:1")
        assert caught.value.code.name == "exists"
    renewed = again.add("b2", first, "h:1")
    assert (again.all(), renewed.grants) == ([renewed], ("/srv/*",))
    again.forget("b2")
    for attempt in (again.forget, again.named):
        with pytest.raises(FarshoreError) as caught:
            attempt("b2")
        assert caught.value.code.name == "not-found"
    with pytest.raises(FarshoreError):
        again.add("b", "no certificate", "h:1")


def test_an_invitation_is_spent_once_and_survives_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "invitations.json"
    token = Invitations(path).make("h:1", "ab" * 32, 60, now=100.0)
    assert invitations.decode(token.encode()) == token
    assert token.secret not in path.read_text()
    Invitations(path).check(token.secret, 159.9)
    for secret, now in (("00" * 32, 100.0), (token.secret, 160.0), ("", 100.0), ("\udc80", 100.0)):
        with pytest.raises(FarshoreError) as caught:
            Invitations(path).spend(secret, now)
        assert caught.value.code.name == "bad-token"
    Invitations(path).spend(token.secret, 100.0)
    with pytest.raises(FarshoreError):
        Invitations(path).spend(token.secret, 100.0)


def test_open_invitations_are_bounded(tmp_path: Path) -> None:
    book = Invitations(tmp_path / "i.json")
    tokens = [book.make("h:1", "ab" * 32, 60, 0.0) for _ in range(invitations.MOST_OPEN + 1)]
    with pytest.raises(FarshoreError):
        book.check(tokens[0].secret, 1.0)
    book.check(tokens[1].secret, 1.0)
    book.check(tokens[-1].secret, 1.0)
    for ttl in (0.0, -1.0, 1e9, float("nan")):
        with pytest.raises(FarshoreError) as caught:
            book.make("h:1", "ab" * 32, ttl, 0.0)
        assert caught.value.code.name == "usage"


@pytest.mark.parametrize("text", ["", "x", "e30", "bnVsbA", "é", "A" * 5000, "eyJhZGRyZXNzIjoxfQ"])
def test_malformed_tokens(text: str) -> None:
    with pytest.raises(FarshoreError) as caught:
        invitations.decode(text)
    assert caught.value.code.name == "bad-token"


def test_an_identity_is_made_once_and_never_guessed(tmp_path: Path) -> None:
    paths = Paths(tmp_path, tmp_path)
    own = identity.open_identity(paths, "a")
    assert identity.open_identity(paths, "other") == own
    assert identity.fingerprint_of_pem(own.certificate) == own.fingerprint
    assert paths.key.stat().st_mode & 0o777 == 0o600
    identity.verify(own.certificate, own.sign(b"text"), b"text")
    for signature, text in ((own.sign(b"text"), b"Text"), (b"", b"text"), (bytes(64), b"text")):
        with pytest.raises(FarshoreError) as caught:
            identity.verify(own.certificate, signature, text)
        assert caught.value.code.name == "bad-token"
    key, _ = identity.make_certificate("a")
    documents.write_bytes(paths.key, key)
    with pytest.raises(FarshoreError) as caught:
        identity.open_identity(paths, "a")
    assert caught.value.code.name == "state-damaged"


def test_settings_are_said_or_remembered_or_default(tmp_path: Path) -> None:
    paths = Paths(tmp_path, tmp_path / "run")
    first = settings.settle(paths, Said(name="a"))
    assert (first.name, str(first.listen), first.api) == (
        "a",
        "0.0.0.0:7411",
        f"unix:{tmp_path}/run/api.sock",
    )
    assert first.remembered_listen is None
    settings.remember(paths, "00", "a", first.listen, "127.0.0.1:80")
    second = settings.settle(paths, Said(listen="[::1]:1"))
    assert (second.name, str(second.listen), second.api) == ("a", "[::1]:1", "127.0.0.1:80")
    assert second.remembered_listen == "0.0.0.0:7411"
    assert json.loads(paths.node.read_text())["id"] == "00"
    for wrong in (Said(api="10.0.0.1:80"), Said(api="unix:relative"), Said(listen="x"), Said(name="A B")):
        with pytest.raises(FarshoreError) as caught:
            settings.settle(paths, wrong)
        assert caught.value.code.name == "usage"
