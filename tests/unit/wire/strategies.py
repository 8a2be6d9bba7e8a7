"""Hypothesis strategies for values that cross the wire."""

from hypothesis import strategies as st

from farshore.model.header import OpenResync
from farshore.model.messages import (
    PROTOCOL,
    Ack,
    DigestQuery,
    DigestReply,
    Fill,
    Heartbeat,
    Hello,
    Message,
    Purpose,
    ReadQuery,
    ReadReply,
    Ready,
    Refusal,
    Residue,
    Resume,
    ResyncBegin,
    ResyncDone,
    ResyncEnd,
    Skip,
    SyncNow,
    Welcome,
)
from farshore.model.options import ResyncKind
from farshore.model.positions import History, Position, Stretch
from farshore.model.volumes import CUT, FLUSH, RESIZE, TRIM, WRITE, ZERO, Operation
from farshore.wire.frame import FrameStamp

ids = st.binary(min_size=16, max_size=16)
u16 = st.integers(0, (1 << 16) - 1)
u64 = st.integers(0, (1 << 64) - 1)
positions = st.builds(Position, ids, u64)
kinds = st.sampled_from(ResyncKind)
offsets = st.integers(0, 1 << 62)


@st.composite
def histories(draw: st.DrawFn) -> History:
    lasts = sorted(draw(st.lists(u64, max_size=5)))
    return History(tuple(Stretch(draw(ids), last) for last in lasts))


@st.composite
def fills(draw: st.DrawFn) -> Fill:
    data = draw(st.none() | st.binary(min_size=1, max_size=300))
    length = draw(st.integers(1, 1 << 40)) if data is None else len(data)
    return Fill(draw(u64), draw(u64), draw(u64), draw(u16), draw(offsets), length, data)


@st.composite
def queries(draw: st.DrawFn) -> DigestQuery:
    region = 1 << draw(st.integers(12, 20))
    digests = draw(st.lists(ids, min_size=1, max_size=5))
    length = (len(digests) - 1) * region + draw(st.integers(1, region))
    head = (draw(u64), draw(u64), draw(u64), draw(u16), draw(offsets))
    return DigestQuery(*head, length, region, b"".join(digests), draw(st.sampled_from(Purpose)))


@st.composite
def residues(draw: st.DrawFn) -> Residue:
    spans = draw(st.lists(st.tuples(u16, st.integers(0, 1 << 40), st.integers(1, 1 << 20)), max_size=5))
    ranges: list[tuple[int, int, int]] = []
    for volume, offset, length in sorted(spans):
        behind = ranges[-1][1] + ranges[-1][2] if ranges and ranges[-1][0] == volume else 0
        ranges.append((volume, max(offset, behind), length))
    return Residue(draw(positions), tuple(ranges))


open_resyncs = st.builds(OpenResync, ids, kinds, positions)
hellos = st.builds(
    Hello,
    protocol=st.just(PROTOCOL),
    group=ids,
    link=ids,
    epoch=u64,
    copy=ids,
    instance=ids,
    history=histories(),
    region=st.integers(12, 20).map(lambda bits: 1 << bits),
    volumes=st.lists(st.tuples(u16, u64), max_size=5, unique_by=lambda pair: pair[0]).map(tuple),
    peer_copy=st.none() | ids,
    first=kinds,
    journal=st.booleans(),
    chain=st.lists(ids, max_size=3).map(tuple),
    queue=u64,
)
messages: st.SearchStrategy[Message] = st.one_of(
    hellos,
    st.builds(
        Welcome,
        u64,
        ids,
        ids,
        histories(),
        st.none() | open_resyncs,
        st.booleans(),
        st.booleans(),
        st.none() | residues(),
        st.booleans(),
    ),
    st.builds(Refusal, st.sampled_from(("diverged", "protocol")), st.text(max_size=100)),
    st.builds(Resume, u64, histories(), positions),
    st.builds(ResyncBegin, u64, ids, kinds, histories(), positions, u64, st.booleans(), st.text(max_size=15)),
    st.builds(Ready, u64, st.booleans()),
    st.builds(Skip, u64, positions),
    fills(),
    queries(),
    st.builds(DigestReply, u64, u64, st.lists(st.booleans(), max_size=50).map(bytes)),
    st.builds(ReadQuery, u64, u64, u64, u64, u64),
    st.builds(ReadReply, u64, u64, st.just(0), st.binary(max_size=50)),
    st.builds(ReadReply, u64, u64, u64, st.just(b"")),
    st.builds(ResyncEnd, u64, ids, histories(), positions),
    st.builds(ResyncDone, u64, ids),
    st.builds(Ack, u64, u64, u64, u64, u64),
    st.builds(SyncNow, u64),
    st.builds(Heartbeat, u64, u64, u64, u64),
)


@st.composite
def batches(draw: st.DrawFn) -> tuple[FrameStamp, list[Operation], list[bytes | None]]:
    """Stamp, operations and payloads of one frame."""
    operations: list[Operation] = []
    payloads: list[bytes | None] = []
    for op in draw(st.lists(st.sampled_from((WRITE, WRITE, ZERO, TRIM)), max_size=12)):
        data = draw(st.binary(max_size=200)) if op == WRITE else None
        length = len(data) if data is not None else draw(st.integers(0, (1 << 32) - 1))
        operations.append((draw(u16), op, draw(offsets), length))
        payloads.append(data)
    if not operations and draw(st.booleans()):
        operations.append((draw(u16), RESIZE, max(1, draw(offsets)), 0))
        payloads.append(None)
    elif not operations or draw(st.booleans()):
        operations.append(draw(st.sampled_from(((0, FLUSH, 0, 0), (0, CUT, 7, 0)))))
        payloads.append(None if operations[-1][1] == FLUSH else draw(st.sampled_from((None, b"noon"))))
    before = draw(st.integers(0, (1 << 64) - 100))
    first = draw(st.integers(before + 1, (1 << 64) - 50))
    stamp = FrameStamp(draw(ids), draw(ids), first, draw(u64), Position(draw(ids), before))
    return stamp, operations, payloads
