"""The plan of a repair says what is overwritten where, and names the findings that it rests on."""

from dataclasses import replace
from typing import Any

import pytest

from farshore.model.copy_config import CopyConfig, LinkIntent
from farshore.model.options import LinkOptions, LinkSpec, Mode, OnOutage, Role
from farshore.model.volumes import VolumeSpec
from farshore.node.verify_repair import plan_of

OPTIONS = LinkOptions(mode=Mode.SYNC)
CONFIG = CopyConfig(
    group=b"g" * 16,
    group_name="orders",
    copy=b"c" * 16,
    copy_name="orders",
    role=Role.PRIMARY,
    volumes=(VolumeSpec(3, "data", "/srv/data.img", 1 << 20),),
    control="/run/c",
    certificate="/c",
    key="/k",
    links=(LinkIntent(LinkSpec(b"l" * 16, "b", "f" * 64, OPTIONS), "site-b", "b:7411"),),
)


def found(count: int, *, more: bool = False, fingerprint: str = "aa") -> dict[str, Any]:
    ranges = [{"volume": 3, "offset": number * 65536, "length": 32768} for number in range(count)]
    size = count * 32768
    return {"ranges": ranges, "more": more, "found_bytes": size, "fingerprint": fingerprint if count else ""}


def test_it_names_each_range_that_is_overwritten() -> None:
    plan = plan_of(CONFIG, "b", found(2))
    assert "64 KiB" in plan.title
    assert "site-b" in plan.title
    assert plan.lost == (
        "what site-b holds in data: 32 KiB at byte 0",
        "what site-b holds in data: 32 KiB at byte 65536",
    )
    assert len(plan.steps) == 2
    assert any("good one" in each for each in plan.warnings)
    plan.require()


@pytest.mark.parametrize(
    ("more", "said"), [(False, "and 5 more ranges"), (True, "and at least 5 more ranges")]
)
def test_many_ranges_are_counted(more: bool, said: str) -> None:
    plan = plan_of(CONFIG, "b", found(15, more=more))
    assert len(plan.lost) == 11
    assert plan.lost[-1].endswith(said)


def test_other_findings_are_another_plan() -> None:
    assert plan_of(CONFIG, "b", found(2)).id == plan_of(CONFIG, "b", found(2)).id
    assert plan_of(CONFIG, "b", found(2)).id != plan_of(CONFIG, "b", found(2, fingerprint="bb")).id


def test_without_findings_there_is_nothing_to_carry_out() -> None:
    plan = plan_of(CONFIG, "b", found(0))
    assert [each.code for each in plan.refusals] == ["wrong-state"]
    assert not plan.steps


def test_that_writes_will_be_held_is_said_before() -> None:
    (link,) = CONFIG.links
    frozen = replace(link, spec=replace(link.spec, options=replace(OPTIONS, on_outage=OnOutage.FREEZE)))
    plan = plan_of(replace(CONFIG, links=(frozen,)), "b", found(1))
    assert any("held" in each for each in plan.warnings)
