"""Whatever looks like a secret is taken out, however it got there."""

import json

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from farshore.node.invitations import Token
from farshore.support.secrets import REPLACED, without_secrets

_KEY = ec.generate_private_key(ec.SECP256R1())
_PEM = _KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)
_OLD = _KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
)
_PUBLIC = _KEY.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)
_TOKEN = Token("192.0.2.1:7411", "ab" * 32, "cd" * 32, 1.0).encode().encode()


def body(pem: bytes) -> list[bytes]:
    return [line for line in pem.splitlines() if not line.startswith(b"-----")]


@pytest.mark.parametrize("pem", [_PEM, _OLD], ids=["PKCS8", "OpenSSL"])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda pem: b"before\n" + pem + b"after\n",
        lambda pem: json.dumps({"key": pem.decode()}).encode(),
        lambda pem: b"before\n" + pem[: len(pem) * 2 // 3],
        lambda pem: pem[len(pem) // 3 :] + b"after\n",
        lambda pem: b"before " + pem.replace(b"\n", b"\r\n"),
    ],
    ids=["whole", "in JSON", "its beginning", "its end", "with CRLF"],
)
def test_a_private_key_is_taken_out(pem: bytes, wrap: object) -> None:
    assert callable(wrap)
    clean = without_secrets(wrap(pem))
    assert REPLACED in clean
    assert not any(line[-20:] in clean for line in body(pem))


def test_an_invitation_is_taken_out() -> None:
    for text in (b"token " + _TOKEN + b" end", b'{"token": "' + _TOKEN + b'"}', b"x FARSHORE_TOKEN=abc y"):
        clean = without_secrets(text)
        assert _TOKEN not in clean
        assert b"=abc" not in clean
        assert REPLACED in clean


def test_what_is_no_secret_stays() -> None:
    text = _PUBLIC + b'{"group": "orders", "id": "' + b"ab" * 32 + b'"}\n-----BEGIN CERTIFICATE-----\nMIIB\n'
    assert without_secrets(text) == text
