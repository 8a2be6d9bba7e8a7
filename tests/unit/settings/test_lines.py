"""A configuration file line by line: one mistake hides no other, and what is taken is what TOML means."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farshore.settings.lines import Assignment, Header, Mistake, read


def mistakes(text: str) -> list[int | None]:
    return [each.line for each in read(text) if isinstance(each, Mistake)]


def test_statements_have_their_lines() -> None:
    text = "# top\n\n[node]  # here\nname = \"a\"  # there\r\n[ log ]\nlevel = 'x'\n"
    assert list(read(text)) == [
        Header(3, "node"),
        Assignment(4, "name", "a"),
        Header(5, "log"),
        Assignment(6, "level", "x"),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "junk",
        "= 1",
        "key =",
        "key = value",
        'key = "open',
        'key = """open',
        'a.b = "x"',
        '"a" = "x"',
        "[a.b]",
        "[[a]]",
        "[a",
        "[]",
        '["a"]',
        "[a] b = 1",
        "key = [1,",
        "key = 1 2",
        "# \x01",
        "key = 2026-13-01",
    ],
)
def test_a_mistake_is_one_mistake_in_its_line(line: str) -> None:
    text = f'[node]\n{line}\nname = "x"\n'
    (found,) = [each for each in read(text) if isinstance(each, Mistake)]
    assert found.line == 2
    assert found.what
    assert found.instead
    assert Assignment(3, "name", "x") in list(read(text))


_LINES = st.one_of(
    st.text(alphabet=st.characters(codec="utf-8"), max_size=30),
    st.builds(
        lambda key, value: f"{key} = {value}", st.sampled_from("ab"), st.sampled_from(['"x"', "1", "true"])
    ),
    st.sampled_from(["[a]", "[b]", " [ a ] # x", "", "# x", 'a = "#" # "', "a.b = 1", "[a.b]"]),
)


@given(st.lists(_LINES, max_size=8))
def test_a_file_without_mistakes_is_what_the_standard_parser_reads(lines: list[str]) -> None:
    text = "\n".join(lines)
    tables: dict[str, dict[str, object]] = {"": {}}
    table = ""
    for each in read(text):
        if isinstance(each, Mistake):
            return
        if isinstance(each, Header):
            table = each.table
            if table in tables or table in tables[""]:
                return  # said twice, which is for a later step to find
            tables[table] = {}
        elif each.key in tables[table]:
            return
        else:
            tables[table][each.key] = each.value
    assert tomllib.loads(text) == {**tables.pop(""), **tables}
