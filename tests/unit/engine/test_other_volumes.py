"""Rule D3: another file at a volume's path is noticed before anything is written; only a plan takes it."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from farshore.core.fault_texts import fault_id
from farshore.engine.other_volumes import OtherVolumes
from farshore.engine.stored_copy import StoredCopy, open_copy
from farshore.engine.turning import carry_out
from farshore.errors import FarshoreError
from farshore.model.copy_config import CopyConfig, TurnIntent
from farshore.model.header import RENEWED, Fault, FaultKind, Header, LinkRecord, OpenResync, Upstream
from farshore.model.layers import EVERY_LAYER
from farshore.model.options import ResyncKind, Role
from farshore.model.positions import History, Position, Stretch
from farshore.model.volumes import VolumeSpec
from farshore.store import position_file
from farshore.store.claim import create_volume
from farshore.store.header import HeaderFile
from farshore.store.platform import RealFiles
from farshore.store.process_lock import take_lock

MIB = 1 << 20
GENERATION, LINK = b"n" * 16, b"l" * 16
HISTORY = History((Stretch(GENERATION, 70),))
UPSTREAM = Upstream(b"u" * 16, 3, b"f" * 16)
STOOD = Position(GENERATION, 70)


@pytest.fixture(params=list(Role))
def config(request: pytest.FixtureRequest, tmp_path: Path) -> CopyConfig:
    """Of a copy with two volumes that has a history, and has stopped cleanly."""
    volumes = tuple(
        [VolumeSpec(number, f"v{number}", str(tmp_path / f"v{number}"), MIB) for number in (1, 2)]
    )
    for each in volumes:
        create_volume(each.path, each.size).close()
    config = CopyConfig(
        group=b"g" * 16,
        group_name="g",
        copy=b"c" * 16,
        copy_name="g",
        role=request.param,
        volumes=volumes,
        control=str(tmp_path / "ctl"),
        certificate="",
        key="",
        node_name="a",
    )
    (tmp_path / "state").mkdir()
    copy = _opened(config)
    link = LinkRecord(LINK, 1, b"p" * 16)
    copy.header.write(replace(copy.header.header, history=HISTORY, links=(link,), upstream=UPSTREAM))
    if copy.position is not None:
        copy.position.write_durable(STOOD)
    copy.close()
    return config


def _opened(config: CopyConfig) -> StoredCopy:
    directory = str(Path(config.control).parent / "state")
    lock = take_lock(RealFiles(), directory)
    try:
        return open_copy(directory, config, lock)
    except FarshoreError:
        lock.release()
        raise


def _header(config: CopyConfig) -> Header:
    opened = HeaderFile.open(RealFiles(), str(Path(config.control).parent / "state" / "header"))
    opened.close()
    return opened.header


def _files(config: CopyConfig) -> dict[str, bytes]:
    """What the copy has durably, and its volumes; without what every opening writes anew."""
    place = Path(config.control).parent
    files = [each for each in place.rglob("*") if each.is_file() and each.name not in ("lock", "header")]
    return {str(each): each.read_bytes() for each in files}


def _replace(config: CopyConfig, number: int, content: bytes = b"") -> Path:
    """Another file at the volume's path; where the right one is now."""
    path = Path(config.volumes[number].path)
    kept = path.with_suffix(".kept")
    path.rename(kept)
    path.write_bytes(content.ljust(MIB, b"\0"))
    return kept


def _refused(config: CopyConfig) -> OtherVolumes:
    with pytest.raises(OtherVolumes) as caught:
        _opened(config)
    return caught.value


@pytest.mark.parametrize("content", [b"", b"of somebody else"], ids=["empty", "with data"])
def test_d3_another_file_at_the_path_is_refused_and_nothing_is_written(
    config: CopyConfig, content: bytes
) -> None:
    kept = _replace(config, 1, content)
    before = (_header(config), _files(config))
    error = _refused(config)
    assert (error.code.name, error.code.exit_code) == ("identity-changed", 8)
    assert config.volumes[1].path in error.what
    assert config.volumes[0].path not in error.what
    assert "farshore repair g" in error.next_step
    assert (_header(config), _files(config)) == before
    assert _refused(config).replaced == error.replaced, "it names what stands there"
    kept.rename(config.volumes[1].path)
    copy = _opened(config)
    assert copy.header.header == before[0], "the right one is back"
    copy.close()


def test_a_copy_of_the_file_is_another_file(config: CopyConfig) -> None:
    kept = _replace(config, 0)
    shutil.copyfile(kept, config.volumes[0].path)
    assert config.volumes[0].path in _refused(config).what


def test_what_was_accepted_is_this_volume_and_no_other_one(config: CopyConfig) -> None:
    _replace(config, 1)
    first = _refused(config)
    Path(config.volumes[1].path).unlink()
    Path(config.volumes[1].path).write_bytes(bytes(MIB))
    Path(config.volumes[0].path).unlink()
    Path(config.volumes[0].path).write_bytes(bytes(MIB))
    both = _refused(replace(config, replaced=first.replaced))
    assert both.replaced != first.replaced
    assert config.volumes[0].path in both.what


def test_a_copy_that_goes_on_with_another_volume_holds_nothing(config: CopyConfig) -> None:
    _replace(config, 1)
    accepted = replace(config, replaced=_refused(config).replaced)
    copy = _opened(accepted)
    header = copy.header.header
    assert header.broken_layers == (EVERY_LAYER,)
    if config.role is Role.PRIMARY:
        assert header.fault is not None
        assert header.fault.kind is FaultKind.REPLACED
        assert config.volumes[1].path in header.fault.text
        assert not header.clean
        assert [each.paused_for for each in header.links] == [header.fault.text]
        assert header.history == HISTORY
    else:
        assert header.history.blank
        assert header.links == ()
        assert header.resync == OpenResync(RENEWED, ResyncKind.FULL, Position(RENEWED, 0))
        assert copy.position is not None
        assert (copy.position.read().durable, copy.position.read().applied) == (None, None)
        assert header.upstream == UPSTREAM
    copy.close()
    again = _opened(config)  # it is known by what it is now
    assert again.header.header == header
    again.close()


def test_d3_a_promotion_does_not_empty_a_copy_that_it_could_not_promote_then(config: CopyConfig) -> None:
    if config.role is Role.PRIMARY:
        return  # it is one already
    _replace(config, 1)
    accepted = replace(config, replaced=_refused(config).replaced)
    directory, before = str(Path(config.control).parent / "state"), (_header(config), _files(config))
    with pytest.raises(OtherVolumes):
        carry_out(directory, replace(accepted, role=Role.PRIMARY, turn=TurnIntent(b"t" * 16)))
    assert (_header(config), _files(config)) == before
    _opened(accepted).close()
    assert _header(config).history.blank, "as the secondary that it is it may go on with that volume"


def test_whatever_ends_in_between_a_position_of_the_lost_volume_is_never_believed(
    config: CopyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    if config.role is Role.PRIMARY:
        pytest.skip("a primary has no position besides its header")
    _replace(config, 0)
    accepted = replace(config, replaced=_refused(config).replaced)

    class Died(FarshoreError):
        """Of the process."""

    def dies(*arguments: object) -> None:
        raise Died("internal", "the process died right behind the header")

    with monkeypatch.context() as dying:
        dying.setattr(position_file, "renew", dies)
        with pytest.raises(Died):
            _opened(accepted)
    copy = _opened(config)
    assert copy.header.header.history.blank
    assert copy.position is not None
    assert copy.position.read().durable is None
    copy.close()


def test_a_copy_from_before_volumes_were_known_gets_to_know_them(config: CopyConfig) -> None:
    copy = _opened(config)
    copy.header.write(replace(copy.header.header, identities=()))
    copy.close()
    _opened(config).close()
    assert [each.volume for each in _header(config).identities] == [1, 2]
    _replace(config, 1)
    _refused(config)


def test_a_copy_that_has_failed_learns_nothing_before_its_volumes_are_synced(config: CopyConfig) -> None:
    copy = _opened(config)
    failed = replace(copy.header.header, identities=(), fault=Fault("EIO", FaultKind.VOLUMES))
    copy.header.write(failed)
    copy.close()
    _opened(config).close()
    assert _header(config).identities == ()
    assert fault_id(_header(config)) == fault_id(failed)


def test_volumes_that_come_are_known_and_those_that_go_are_forgotten(config: CopyConfig) -> None:
    one = replace(config, volumes=config.volumes[:1])
    _opened(one).close()
    assert [each.volume for each in _header(config).identities] == [1]
    _replace(config, 1)
    _opened(config).close()
    assert [each.volume for each in _header(config).identities] == [1, 2], "it comes anew"
