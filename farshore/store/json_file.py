"""Reads an object that another process wrote as a JSON file: `copy.json`, `device.json`."""

from __future__ import annotations

import json
from typing import Any

from farshore.errors import FarshoreError


def read_object(path: str, *, means: str = "", missing: str = "") -> dict[str, Any]:
    """Raises FarshoreError `not-found`, whose next command is `missing`, or `state-damaged`; both with
    `means`. OSError where the file is there and cannot be read."""
    try:
        with open(path, "rb") as file:
            document = json.loads(file.read())
        if not isinstance(document, dict):
            raise ValueError("it is no object")
    except FileNotFoundError:
        raise FarshoreError("not-found", f"{path} is not there", means=means, next_step=missing) from None
    except ValueError as error:
        raise FarshoreError("state-damaged", f"{path} cannot be read: {error}", means=means) from error
    return document
