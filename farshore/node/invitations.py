"""Invitations: a secret, good for one pairing, until it expires.

The token carries where to connect, which certificate to expect there, and a secret of 256 random
bits. Only the secret's SHA-256 is kept, so a stolen state directory admits nobody. A secret is spent,
durably, before the node that brought it is admitted.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from farshore.errors import FarshoreError
from farshore.node import documents

LONGEST_TTL = 7 * 24 * 3600.0
MOST_OPEN = 100
_LONGEST_TOKEN = 4096


@dataclass(frozen=True, slots=True)
class Token:
    """What an invited operator carries to the other node. `expires` in seconds since the epoch."""

    address: str
    fingerprint: str
    secret: str
    """64 hex digits."""
    expires: float

    def encode(self) -> str:
        """One word of letters, digits, '-' and '_'."""
        text = json.dumps(
            {
                "address": self.address,
                "fingerprint": self.fingerprint,
                "secret": self.secret,
                "expires": self.expires,
            },
            separators=(",", ":"),
        )
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode(text: str) -> Token:
    """The inverse of `Token.encode`. Raises FarshoreError `bad-token`."""
    word = text.strip()
    try:
        if len(word) > _LONGEST_TOKEN:
            raise ValueError("too long")
        value = json.loads(base64.b64decode(word + "=" * (-len(word) % 4), altchars=b"-_", validate=True))
        token = Token(
            str(value["address"]), str(value["fingerprint"]), str(value["secret"]), float(value["expires"])
        )
        if len(bytes.fromhex(token.fingerprint)) != 32 or len(bytes.fromhex(token.secret)) != 32:
            raise ValueError("a fingerprint and a secret have 32 bytes")
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise FarshoreError(
            "bad-token",
            "the token is not one that farshore node invite printed",
            means="nothing was changed",
            next_step="copy it whole, or make a new one with: farshore node invite",
        ) from error
    return token


class Invitations:
    """Open invitations, in memory and in `invitations.json`; at most `MOST_OPEN`, the oldest falls out."""

    def __init__(self, path: Path) -> None:
        """Raises FarshoreError `state-newer` or `state-damaged`."""
        self._path = path
        document = documents.read(path)
        try:
            self._open = _load(document) if document else {}
        except (KeyError, TypeError, ValueError) as error:
            raise documents.damaged(path, error) from error

    def make(self, address: str, fingerprint: str, ttl: float, now: float) -> Token:
        """A new invitation for `ttl` seconds. Raises FarshoreError `usage` for a ttl out of range."""
        if not 1 <= ttl <= LONGEST_TTL:
            raise FarshoreError(
                "usage",
                "an invitation lasts between one second and seven days",
                next_step="choose another --ttl",
            )
        token = Token(address, fingerprint, secrets.token_hex(32), now + ttl)
        live = {digest: expires for digest, expires in self._open.items() if expires > now}
        kept = dict(list(live.items())[-(MOST_OPEN - 1) :])
        self._keep({**kept, _digest(token.secret): token.expires})
        return token

    def check(self, secret: str, now: float) -> None:
        """That a secret is open. Raises FarshoreError `bad-token`, the same for wrong, used and expired."""
        self._find(secret, now)

    def spend(self, secret: str, now: float) -> None:
        """Uses the invitation up, durably. Raises FarshoreError `bad-token`."""
        digest = self._find(secret, now)
        self._keep({each: expires for each, expires in self._open.items() if each != digest})

    def _find(self, secret: str, now: float) -> str:
        digest = _digest(secret)
        for known, expires in self._open.items():
            if hmac.compare_digest(known, digest) and now < expires:
                return known
        raise FarshoreError(
            "bad-token",
            "the invitation is wrong, was used already, or has expired",
            means="nothing was changed on either node",
            next_step="make a new one at the inviting node with: farshore node invite",
        )

    def _keep(self, invitations: dict[str, float]) -> None:
        entries = [{"digest": digest, "expires": expires} for digest, expires in invitations.items()]
        documents.write(self._path, {"invitations": entries})
        self._open = invitations


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _load(document: dict[str, Any]) -> dict[str, float]:
    return {str(each["digest"]): float(each["expires"]) for each in document["invitations"]}
