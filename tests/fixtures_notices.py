"""Any notice at all, for the tests of every format that notices are written in."""

from hypothesis import strategies as st

from fixtures_link import ETH, NOON, USDT, account
from holdfast.trace.share.notice import Notice, Role, SharedAddress, SharedSide, SharedTransaction, Tlp

names = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=30)
units = st.dictionaries(st.sampled_from([ETH, USDT]), st.integers(0, 2**256 - 1))
times = st.integers(NOON, NOON + 10**8)


@st.composite
def notices(draw: st.DrawFn) -> Notice:
    addresses = draw(st.lists(st.integers(0, 8), unique=True, min_size=1))
    shared = tuple(
        SharedAddress(
            "eip155:1", account(f"a{number}"), draw(st.sampled_from(Role)), draw(st.integers(0, 100)), draw(times),
            draw(times), draw(units), draw(st.sampled_from(["", "Binance"])), NOON + 10**9, draw(st.booleans()),
        )
        for number in addresses
    )  # fmt: skip
    side = st.builds(SharedSide, st.sampled_from(["", *(each.address for each in shared)]),
                     st.just(ETH), st.integers(0, 2**256 - 1))  # fmt: skip
    sides = st.lists(side, max_size=3).map(tuple)
    moved = st.builds(SharedTransaction, st.just("eip155:1"), st.just("0x" + "ab" * 32), times, sides, sides)
    created = draw(times)
    return Notice(
        draw(names), draw(names), draw(names), draw(times), created, created + draw(st.integers(0, 10**6)),
        draw(st.sampled_from(Tlp)), draw(st.integers(0, 100)), shared, tuple(draw(st.lists(moved, max_size=1))),
    )  # fmt: skip
