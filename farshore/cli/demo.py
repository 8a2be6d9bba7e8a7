"""`farshore demo`: two sites on this machine, shown and proved; the work is done in `farshore.demo`."""

from __future__ import annotations

import click

from farshore.cli.options import json_option


@click.command()
@click.option("--keep", is_flag=True, help="Leave the directory of both sites there at the end.")
@json_option
def demo(keep: bool, as_json: bool) -> int:
    """Replicate a real database between two sites on this machine, through a lost line.

    Needs no root and no other program. Exit 0 only if everything that is claimed was observed.
    """
    from farshore.demo import story

    return story.run(keep=keep, as_json=as_json)
