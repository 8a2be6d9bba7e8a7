"""`farshore check`: one line and one exit code for a monitoring system.

0 all is well, 1 warning, 2 critical, 3 unknown: the convention of monitoring plugins, and the only command
with exit codes of its own. It judges what status says and decides nothing by itself.
"""

from __future__ import annotations

import click

from farshore.cli import output
from farshore.cli.options import DURATION, connect, json_option, target_options
from farshore.client.answers import Group
from farshore.errors import FarshoreError
from farshore.model.units import format_duration

_WORDS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
_OF_HEALTH = {
    "protected": 0,
    "behind": 1,
    "catching-up": 1,
    "unprotected": 2,
    "stopped": 2,
    "diverged": 2,
    "failed": 2,
}
_UNKNOWN = 3


@click.command()
@click.argument("group", required=False)
@click.option("--max-lag", type=DURATION, default="30s", show_default=True, help="Critical beyond this lag.")
@json_option
@target_options
def check(group: str | None, max_lag: float, as_json: bool) -> int:
    """Judge GROUP, or all groups, for a monitoring system.

    Exit 0 protected, 1 behind or catching up, 2 anything worse or a lag over --max-lag, 3 not known.
    """
    try:
        groups = connect().status(group).groups
    except FarshoreError as error:
        return _report(_UNKNOWN, [error.what], as_json)
    if not groups:
        return _report(_UNKNOWN, ["no groups at this node"], as_json)
    judged = [judge(each, max_lag) for each in groups]
    # Unknown is worse than a warning and less than what is known to be critical.
    worst = max((code for code, _ in judged), key=lambda code: (0, 1, 3, 2)[code])
    return _report(worst, [text for _, text in judged], as_json)


def judge(group: Group, max_lag: float) -> tuple[int, str]:
    """The code and the words for one group; `max_lag` in seconds."""
    code = _OF_HEALTH.get(group.health or "", _UNKNOWN)
    text = f"{group.name} {group.health or group.why or 'unknown'}"
    if group.role == "primary" and group.writes in ("held", "refused"):
        code, text = 2, f"{text}, writes {group.writes}"
    for link in group.links:
        text += f", {link.name} {link.state or 'unknown'}"
        if link.lag_seconds is not None and link.lag_seconds > max_lag:
            code, text = 2, f"{text} {format_duration(link.lag_seconds)} behind"
    return code, text


def _report(code: int, texts: list[str], as_json: bool) -> int:
    if as_json:
        output.emit({"result": _WORDS[code], "code": code, "groups": texts})
    else:
        output.say(f"FARSHORE {_WORDS[code]} - {'; '.join(texts)}")
    return code
