"""What should be of a device: `device.json` in its directory, as the node wrote it before it started us."""

from __future__ import annotations

import json
from typing import Final

from farshore.errors import FarshoreError
from farshore.model.device_config import DeviceConfig, from_json

_MEANS: Final = "The volume is not attached; its data was not changed."


def read_config(directory: str) -> DeviceConfig:
    """Raises FarshoreError `state-damaged`, `state-newer` or `not-found`."""
    path = f"{directory}/device.json"
    try:
        with open(path, "rb") as file:
            document = json.loads(file.read())
        if not isinstance(document, dict):
            raise ValueError("it is no object")
    except FileNotFoundError:
        raise FarshoreError(
            "not-found", f"{path} is not there", means=_MEANS, next_step="farshore device list"
        ) from None
    except ValueError as error:
        raise FarshoreError("state-damaged", f"{path} cannot be read: {error}", means=_MEANS) from error
    return from_json(document)
