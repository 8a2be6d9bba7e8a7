"""Takes out of a bundle what nobody but the node may have. Pure.

The bundle is made from a list of things that hold no secret. This is the second wall: whatever looks like a
private key or an invitation is replaced wherever it stands, cut off or not, also where JSON has escaped it.
"""

from __future__ import annotations

import re
from typing import Final

REPLACED: Final = b"(taken out: a secret)"
_NAME: Final = rb"[A-Z0-9 ]{0,40}PRIVATE KEY-----"
_BODY: Final = rb"(?:[A-Za-z0-9+/=\s]|\\[nr])"
_SECRETS: Final = tuple(
    re.compile(pattern)
    for pattern in (
        rb"-----BEGIN " + _NAME + _BODY + rb"*(?:-----END " + _NAME + rb")?",
        # The end of a key whose beginning was cut off with the rest of a long file.
        rb"\A" + _BODY + rb"*-----END " + _NAME,
        # `{"address":"` in base64: how every invitation begins.
        rb"eyJhZGRyZXNzIjoi[A-Za-z0-9_=-]+",
        rb'(?<=FARSHORE_TOKEN=)[^\s"]+',
    )
)


def without_secrets(content: bytes) -> bytes:
    """The same, with `REPLACED` where a secret was."""
    for pattern in _SECRETS:
        content = pattern.sub(REPLACED, content)
    return content
