"""All mistakes of a configuration file are found at once, each with its line and what to write instead."""

import os
import re
from pathlib import Path

import pytest

from farshore.errors import FarshoreError
from farshore.settings import file
from farshore.settings.known import SETTINGS, Setting

_EXAMPLE = Path(__file__).resolve().parents[3] / "packaging/farshore.toml"


def found(tmp_path: Path, text: str) -> file.Found:
    path = tmp_path / "farshore.toml"
    path.write_text(text)
    path.chmod(0o644)
    return file.read(path)


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    text = """\
[node]
name = "Site A"
listn = "0.0.0.0:7411"
listen = 7411
api = "0.0.0.0:80"
max_rate = "100Mbit/s"
max-rate = 100Mbit/s
level = "info"
[nod]
engines = "units"
[log]
level = "loud"
junk
level = "info"
[log]
[nowhere]
what = "ever"
"""
    lines = [each.line for each in found(tmp_path, text).mistakes]
    assert lines == [2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 14, 15, 16]


@pytest.mark.parametrize(
    ("line", "instead"),
    [
        ('listn = "x"', "write listen"),
        ('max_rate = "x"', "write max-rate"),
        ('level = "info"', "put level below [log]"),
        ("max-rate = 0", 'write max-rate = "0"'),
        ("listen = 7411", 'write listen = "0.0.0.0:7411"'),
        ("name = site-a", 'write name = "site-a"'),
        ('colour = "red"', "settings of [node] are state, name, listen, api, max-rate, engines"),
        ('max-rate = "1KiB/s"', "use at least 16KiB/s, or 0 for no bound"),
        ('engines = "threads"', "write one of session, units"),
        ('state = "here"', "begin it with /"),
    ],
)
def test_a_mistake_says_what_to_write(tmp_path: Path, line: str, instead: str) -> None:
    (mistake,) = found(tmp_path, f"[node]\n{line}\n").mistakes
    assert (mistake.line, mistake.instead) == (2, instead)


def test_a_setting_outside_of_every_table(tmp_path: Path) -> None:
    (mistake,) = found(tmp_path, 'listen = "0.0.0.0:1"\n').mistakes
    assert (mistake.line, mistake.instead) == (1, "put listen below [node]")


def test_a_file_that_is_not_there_sets_nothing(tmp_path: Path) -> None:
    absent = file.read(tmp_path / "none")
    assert (absent.there, absent.values, absent.mistakes) == (False, {}, [])
    absent.require_sound()


def test_what_is_no_readable_text(tmp_path: Path) -> None:
    path = tmp_path / "farshore.toml"
    path.write_bytes(b'[node]\nname = "\xff"\n')
    assert [each.line for each in file.read(path).mistakes] == [2]
    path.write_bytes(b"#" * (file.MOST_BYTES + 1))
    assert [each.what for each in file.read(path).mistakes] == ["it is larger than 1 MiB"]
    assert file.read(tmp_path).mistakes[0].line is None
    os.mkfifo(tmp_path / "pipe")
    assert file.read(tmp_path / "pipe").mistakes[0].what == "it is not a file"


def test_a_file_that_others_can_write_to_is_not_obeyed(tmp_path: Path) -> None:
    path = tmp_path / "farshore.toml"
    path.write_text('[log]\nlevel = "info"\n')
    path.chmod(0o666)
    assert [each.instead for each in file.read(path).mistakes] == [f"chmod 644 {path}"]


def test_a_node_refuses_a_file_with_mistakes_as_a_whole(tmp_path: Path) -> None:
    with pytest.raises(FarshoreError) as caught:
        found(tmp_path, '[node]\nname = "a"\nx = 1\ny = 1\nz = 1\nu = 1\n').require_sound()
    assert caught.value.code.name == "usage"
    assert "line 3: there is no setting 'x' in [node]" in caught.value.what
    assert "and 1 more" in caught.value.what
    assert caught.value.next_step == f"farshore config check {tmp_path}/farshore.toml"


def test_the_example_that_is_installed_has_every_setting_and_no_mistake(tmp_path: Path) -> None:
    text = _EXAMPLE.read_text()
    assert found(tmp_path, text).values == {}, "as it is installed it sets nothing"
    assert found(tmp_path, text).mistakes == []
    active = found(tmp_path, re.sub(r'(?m)^#([a-z-]+ = ".*")$', r"\1", text))
    assert active.mistakes == []
    assert set(active.values) == {each.path for each in SETTINGS}


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda each: each.path)
def test_the_example_of_a_setting_is_one_that_can_be_set(setting: Setting) -> None:
    setting.check(setting.example)
