"""From the operator's intent in `copy.json` to what the shell's parts are told. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from farshore.engine.nbd_exports import Exported
from farshore.engine.nbd_server import Address
from farshore.engine.nbd_tls import Certificates
from farshore.errors import FarshoreError
from farshore.model.copy_config import TLS_FILES, CopyConfig, ExportIntent, LinkIntent
from farshore.model.device_config import identity_of
from farshore.model.export_address import uri_of
from farshore.model.options import LinkSpec, Role
from farshore.model.volumes import VolumeSpec
from farshore.store.volume import Volume


def addresses_of(config: CopyConfig, volumes: Mapping[int, Volume]) -> dict[Address, list[Exported]]:
    """What is to be exported where, by address. Raises FarshoreError `usage` for an unknown volume."""
    names = {each.id: each.name for each in config.volumes}
    offered: dict[Address, list[Exported]] = {}
    turn = config.turn.id if config.turn is not None else b""
    for intent in config.exports:
        if intent.layer:
            continue  # `views` serves it
        if intent.volume not in names:
            raise FarshoreError("usage", f"an export names volume {intent.volume}, which the copy lacks")
        if config.closed and not intent.read_only:
            continue
        export = Exported(
            intent.volume,
            names[intent.volume],
            volumes[intent.volume],
            intent.read_only,
            identity_of(config.group, intent.volume, turn),
        )
        offered.setdefault(address_of(intent), []).append(export)
    return offered


def address_of(intent: ExportIntent) -> Address:
    """Where an export listens."""
    if intent.tcp is not None:
        return ("tls" if intent.tls else "tcp", intent.tcp)
    return ("unix", intent.unix or "")


def served(config: CopyConfig) -> tuple[object, ...]:
    """What the exports depend on."""
    return config.exports, config.export_clients, bool(config.closed)


def spec_of(intent: LinkIntent) -> LinkSpec:
    """What the core is told of a link."""
    return replace(intent.spec, consent=intent.consent, rescue=intent.rescue)


def certificates_of(config: CopyConfig, directory: str) -> Certificates:
    """What the copy's TLS exports work with; the node lays the files into the copy's directory."""
    authority, certificate, key = (f"{directory}/{name}" for name in TLS_FILES)
    return Certificates(
        authority, certificate, key, frozenset(each.fingerprint for each in config.export_clients)
    )


def address_of_volume(config: CopyConfig, volume: VolumeSpec) -> str | None:
    """What a client opens to write to a volume; on a Unix socket if there is one, None if there is no
    writable export of it that is served."""
    if config.role is not Role.PRIMARY or config.closed:
        return None
    writable = [each for each in config.exports if each.volume == volume.id and not each.read_only]
    chosen = next((each for each in writable if each.unix is not None), next(iter(writable), None))
    return None if chosen is None else uri_of(chosen, volume.name)


def check_unchangeable(old: CopyConfig, new: CopyConfig) -> None:
    """Raises FarshoreError `wrong-state` where a running engine cannot follow."""
    for name in ("group", "copy", "role", "volumes", "region", "extent", "control"):
        before, after = getattr(old, name), getattr(new, name)
        if name == "volumes":  # how large they are the engine says, and not its intent
            before, after = _unsized(old), _unsized(new)
        if before != after:
            raise FarshoreError(
                "wrong-state",
                f"{name} cannot change while the engine runs",
                means="The engine goes on as it was.",
                next_step="stop the engine and start it again",
            )


def _unsized(config: CopyConfig) -> list[VolumeSpec]:
    return [replace(each, size=0) for each in config.volumes]
