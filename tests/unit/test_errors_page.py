"""The page of errors knows every code of the catalogue, with its exit code, and no other."""

import re
from pathlib import Path

from farshore.errors import CODES

_PAGE = (Path(__file__).resolve().parents[2] / "docs/errors.md").read_text(encoding="utf-8")
_SECTIONS = dict(re.findall(r"^## ([a-z-]+)\n\n(.*?)(?=\n## |\Z)", _PAGE, re.MULTILINE | re.DOTALL))


def test_every_code_has_a_section_and_every_section_a_code() -> None:
    assert sorted(_SECTIONS) == sorted(CODES)


def test_sections_stand_in_the_order_of_the_alphabet() -> None:
    assert list(_SECTIONS) == sorted(_SECTIONS)


def test_each_section_begins_with_the_codes_exit_code() -> None:
    said = {name: int(re.match(r"Exit (\d)\. ", text)[1]) for name, text in _SECTIONS.items()}  # type: ignore[index]
    assert said == {name: code.exit_code for name, code in CODES.items()}
