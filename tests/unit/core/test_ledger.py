"""The ledger: what was sent and is not durable everywhere (rule A1)."""

from hypothesis import given
from hypothesis import strategies as st

from farshore.core.ledger import Entry, Ledger


def ledger_of(lasts: list[int]) -> Ledger:
    ledger = Ledger()
    for last in lasts:
        ledger.append(Entry(last, [(1, 1, last * 512, 512)], 512))
    return ledger


LASTS = st.lists(st.integers(1, 200), unique=True).map(sorted)


@given(LASTS, st.integers(0, 210))
def test_frames_beyond_a_sequence_are_all_found_newest_first(lasts: list[int], sequence: int) -> None:
    ledger = ledger_of(lasts)
    assert [entry.last for entry in ledger.after(sequence)] == [n for n in reversed(lasts) if n > sequence]
    assert ledger.bytes_after(sequence) == 512 * sum(1 for n in lasts if n > sequence)


@given(LASTS, st.integers(0, 210))
def test_trimming_forgets_exactly_what_every_peer_has_durable(lasts: list[int], durable: int) -> None:
    ledger = ledger_of(lasts)
    ledger.trim(durable)
    assert [entry.last for entry in ledger.entries] == [n for n in lasts if n > durable]
