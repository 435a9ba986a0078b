"""Clusters: what is signed together belongs together, unless several signed; and every union can be taken back."""

from collections.abc import Sequence

from hypothesis import given, settings, strategies as st

from holdfast.trace.labels.book import Book
from holdfast.trace.labels.clusters import Clusters, parts
from holdfast.trace.labels.common_spending import Union, UnionReason, propose, together_by_many
from holdfast.trace.model import Label, LabelKind, Movement, Transfer
from holdfast.trace.reading import ListedTransfers

BTC = "bip122:000000000019d6689c085ae165831e93"
COIN = f"{BTC}/slip44:0"
AT = 1_700_000_000


def spend(
    name: str, inputs: Sequence[tuple[str, int]], outputs: Sequence[tuple[str, int]], height: int = 1
) -> list[Transfer]:
    rows = [(source, name, units, Movement.INPUT) for source, units in inputs]
    rows += [(name, target, units, Movement.OUTPUT) for target, units in outputs]
    return [
        Transfer(BTC, height, order, AT + height, name, source, target, COIN, units, movement, f"{name}:{order}")
        for order, (source, target, units, movement) in enumerate(rows)
    ]


def union(one: str, two: str, confidence: int = 90, reason: UnionReason = UnionReason.INPUTS) -> Union:
    return Union(f"{one}-{two}-{confidence}", BTC, one, two, reason, confidence, "tx", AT, "they signed together")


def named(address: str, name: str) -> Label:
    return Label(BTC, address, name, LabelKind.EXCHANGE, "a list", 80, AT)


def test_addresses_that_sign_one_transaction_are_one_owners() -> None:
    found = propose(spend("t1", [("1A", 5), ("1B", 6)], [("1C", 10)]))
    clusters = Clusters(Book(), AT, found.unions)
    assert clusters.of(BTC, "1A").addresses == ("1A", "1B")
    assert clusters.of(BTC, "1C").addresses == ("1C",)


def test_a_coinjoin_proposes_nothing_and_says_why() -> None:
    rows = spend("t1", [("1A", 110), ("1B", 120), ("1C", 130)], [("1X", 100), ("1Y", 100), ("1Z", 100), ("1P", 50)])
    found = propose(rows)
    assert found.unions == ()
    assert "CoinJoin" in found.left_out[0].why


def test_a_payjoin_proposes_nothing() -> None:
    # The receiver adds 30 to a payment of 20: without it the payer's 100 would have done.
    assert "PayJoin" in propose(spend("t1", [("1A", 100), ("1R", 30)], [("1S", 50), ("1T", 79)])).left_out[0].why


def test_a_payment_that_needs_both_of_its_inputs_is_no_payjoin() -> None:
    rows = spend("t1", [("1A", 60), ("1B", 50)], [("1S", 100), ("1T", 9)])
    inputs, outputs = rows[:2], rows[2:]
    assert together_by_many(inputs, outputs) == ""


def test_change_needs_two_signs_on_one_output_alone() -> None:
    before = spend("t0", [("1Z", 10**7)], [("3Shop", 10**6)], height=1)
    payment = spend("t1", [("1A", 9 * 10**6)], [("3Shop", 5 * 10**6), ("1New", 3_999_123)], height=2)
    known = ListedTransfers([*before, *payment])
    (change,) = propose(payment, known).unions
    assert (change.reason, {change.one, change.two}) == (UnionReason.CHANGE, {"1A", "1New"})
    ambiguous = spend("t2", [("1A", 9 * 10**6)], [("1M", 5_000_001), ("1N", 3_999_123)], height=3)
    assert propose(ambiguous, ListedTransfers(ambiguous)).unions == ()


def test_two_differently_labelled_owners_are_never_merged_and_the_refusal_is_kept() -> None:
    clusters = Clusters(
        Book([named("1A", "Binance 1"), named("1D", "Huobi")]),
        AT,
        [union("1A", "1B"), union("1B", "1C", 50), union("1C", "1D")],
    )
    assert clusters.of(BTC, "1A").addresses == ("1A", "1B")
    assert clusters.of(BTC, "1D").addresses == ("1C", "1D")
    (refused,) = clusters.refused(BTC, "1A")
    assert "binance and huobi" in refused.why


def test_one_owners_wallets_under_two_numbers_are_merged() -> None:
    clusters = Clusters(Book([named("1A", "Binance 1"), named("1B", "binance.com")]), AT, [union("1A", "1B")])
    assert clusters.of(BTC, "1A").owner == "binance"


def test_a_union_is_revoked_and_restored() -> None:
    first, second = union("1A", "1B"), union("1B", "1C")
    clusters = Clusters(Book(), AT, [first, second])
    assert clusters.of(BTC, "1A").addresses == ("1A", "1B", "1C")
    clusters.revoke(second.id, "the shop signed too")
    assert clusters.of(BTC, "1A").addresses == ("1A", "1B")
    assert clusters.of(BTC, "1C").addresses == ("1C",)
    clusters.restore(second.id)
    assert clusters.of(BTC, "1C").addresses == ("1A", "1B", "1C")


NODES = [f"1{letter}" for letter in "ABCDEFGHIJ"]
UNIONS = st.lists(
    st.tuples(st.sampled_from(NODES), st.sampled_from(NODES), st.integers(40, 95)).filter(lambda one: one[0] != one[1]),
    max_size=25, unique=True,
).map(lambda found: [union(*each) for each in found])  # fmt: skip
OWNERS = st.dictionaries(st.sampled_from(NODES), st.sampled_from(["Binance 1", "Huobi", "Kraken 2"]), max_size=4)


@settings(max_examples=150, deadline=None)
@given(UNIONS, OWNERS, st.data())
def test_revoking_unions_equals_never_having_made_them(
    unions: list[Union], owners: dict[str, str], data: st.DataObject
) -> None:
    gone = data.draw(st.lists(st.sampled_from(unions), unique_by=lambda each: each.id)) if unions else []
    names = Book([named(address, name) for address, name in owners.items()])
    revoked = Clusters(names, AT, unions)
    for each in NODES:
        revoked.of(BTC, each)  # worked out before anything is taken back
    for each in gone:
        revoked.revoke(each.id, "a person")
        revoked.of(BTC, data.draw(st.sampled_from(NODES)))
    never = Clusters(names, AT, [each for each in unions if each not in gone])
    for node in NODES:
        assert revoked.of(BTC, node) == never.of(BTC, node)
        assert set(revoked.refused(BTC, node)) == set(never.refused(BTC, node))


@settings(max_examples=100, deadline=None)
@given(UNIONS, OWNERS)
def test_no_cluster_has_two_owners_whatever_is_proposed(unions: list[Union], owners: dict[str, str]) -> None:
    clusters = Clusters(Book([named(address, name) for address, name in owners.items()]), AT, unions)
    for node in NODES:
        members = clusters.of(BTC, node).addresses
        assert len({owners[each] for each in members if each in owners}) <= 1


@settings(max_examples=20, deadline=None)
@given(UNIONS)
def test_bulk_parts_are_the_clusters_of_an_unlabelled_graph(unions: list[Union]) -> None:
    clusters, found = Clusters(Book(), AT, unions), parts(unions)
    for one in found:
        for two in found:
            assert (found[one] == found[two]) is (two[1] in clusters.of(*one).addresses)
