"""What should be of a device: `device.json` in its directory, as the node wrote it before it started us."""

from __future__ import annotations

from typing import Final

from farshore.model.device_config import DeviceConfig, from_json
from farshore.store.json_file import read_object

_MEANS: Final = "The volume is not attached; its data was not changed."


def read_config(directory: str) -> DeviceConfig:
    """Raises FarshoreError `state-damaged`, `state-newer` or `not-found`."""
    return from_json(read_object(f"{directory}/device.json", means=_MEANS, missing="farshore device list"))
