"""The demo's verdict comes from its proofs and from nothing else, and scripts can read all of it."""

import json

import pytest

from farshore.demo.screen import Screen


@pytest.mark.parametrize(
    ("held", "problem", "verdict"), [(True, None, True), (False, None, False), (True, "it broke", False)]
)
def test_it_holds_only_if_every_claim_holds_and_nothing_broke(
    held: bool, problem: str | None, verdict: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    screen = Screen(as_json=False)
    screen.proof("one", "1 of 1", True)
    screen.proof("two", "2 of 3", held)
    assert screen.finish(problem) is verdict
    table = capsys.readouterr().out.splitlines()[-4:]
    assert table[0] == "ok  one  1 of 1"
    assert table[1] == f"{'ok ' if held else 'NO '} two  2 of 3"
    assert (problem or "") in table[3]


def test_with_json_every_line_is_an_object_and_the_last_one_the_verdict(
    capsys: pytest.CaptureFixture[str],
) -> None:
    screen = Screen(as_json=True)
    screen.step("first")
    screen.told("a$ farshore status")
    screen.say("seen [here]")
    screen.progress("1 %")
    screen.proof("one", "1", True)
    assert screen.finish(None)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all(line["schema"] == 1 for line in lines)
    assert [next(key for key in line if key != "schema") for line in lines] == [
        "step",
        "command",
        "text",
        "progress",
        "proof",
        "held",
    ]
    assert lines[-1]["proofs"] == [{"claim": "one", "observed": "1", "held": True}]
