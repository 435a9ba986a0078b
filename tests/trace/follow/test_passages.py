"""Bridges told by the chain, swappers as one of several, mixers as a set: and what nobody can tell is said."""

from collections.abc import Sequence

from tests.trace.follow.worlds import BITCOIN, BTC, ETH, ETHEREUM, Known, World, balances, end_at, lies, token

from holdfast.core.evm import checksum, keccak256
from holdfast.trace.follow.engine import follow
from holdfast.trace.follow.messages import memo_of_log, message_of
from holdfast.trace.follow.options import Decision, Options, Overrule, Worth
from holdfast.trace.model import EndKind, Label, LabelKind, Reason
from holdfast.trace.reading import ListedTransfers

HASH = "0x" + "ab" * 32
BASE = "eip155:8453"
HIM = checksum(bytes.fromhex("11" * 20))


def thorchain(*, is_answered: bool) -> World:
    world = World()
    world.pay("victim", "thief", 100)
    world.transaction(("thief", "router", 100, ETH), ("router", "vault", 100, ETH), id_=HASH,
                      memo="=:BTC.BTC:bc1thief:0/1/0")  # fmt: skip
    memo = f"OUT:{'AB' * 32}" if is_answered else ""
    world.spend([("pool:0", "asgard", 700)], [("bc1thief", 600), ("asgard", 90)], id_="paid", memo=memo)
    world.spend([("paid:0", "bc1thief", 600)], [("bc1next", 595)])
    return world


def test_thorchain_is_followed_to_bitcoin_by_its_memos() -> None:
    world = thorchain(is_answered=True)
    names = Known(router=LabelKind.BRIDGE, vault=LabelKind.BRIDGE, asgard=LabelKind.BRIDGE)
    trace = follow(ListedTransfers(world.rows), names, world.rows[:1])
    assert lies(trace, "bc1next") == 595
    step = next(each for each in trace.steps if each.transfer.target == "bc1thief")
    assert (step.reason, step.confidence) == (Reason.BRIDGE, 100)
    assert "THORChain took" in step.why
    assert len(step.after) == 1
    (crossing,) = trace.crossings
    assert (crossing.gave[ETH]["fifo"], crossing.got[BTC]["fifo"]) == (100, 600)
    assert not balances(trace)


def test_without_the_answer_the_only_payment_to_the_recipient_is_likely_and_no_more() -> None:
    world = thorchain(is_answered=False)
    trace = follow(ListedTransfers(world.rows), Known(vault=LabelKind.BRIDGE), world.rows[:1])
    step = next(each for each in trace.steps if each.transfer.target == "bc1thief")
    assert step.confidence == 80


def test_a_bridge_whose_other_side_is_not_read_says_so() -> None:
    world = thorchain(is_answered=True)
    rows = [row for row in world.rows if row.network == ETHEREUM]
    trace = follow(ListedTransfers(rows), Known(vault=LabelKind.BRIDGE), rows[:1])
    assert end_at(trace, "vault").kind is EndKind.SERVICE
    assert "bc1thief" in end_at(trace, "vault").detail
    assert any("other side is not among" in each for each in trace.stopped)
    assert not balances(trace)


def test_change_of_a_bitcoin_payment_into_a_bridge_stays_with_the_payer() -> None:
    world = World()
    theft = world.spend([("v:0", "victim", 1000)], [("bc1thief", 1000)], id_="theft")[-1]
    world.spend([("theft:0", "bc1thief", 1000)], [("asgard", 700), ("bc1thief", 290)], id_="cd" * 32,
                memo=f"=:ETH.ETH:{HIM}")  # fmt: skip
    world.transaction(("vault", HIM, 30, ETH), memo=f"OUT:{'CD' * 32}")
    trace = follow(ListedTransfers(world.rows), Known(asgard=LabelKind.BRIDGE), [theft])
    assert (lies(trace, HIM), lies(trace, "bc1thief")) == (30, 290)
    assert end_at(trace, "bc1thief").kind is EndKind.UNSPENT
    assert not balances(trace)


def word(value: int) -> bytes:
    return value.to_bytes(32)


def topic(signature: str) -> str:
    return "0x" + keccak256(signature.encode()).hex()


def log(signature: str, indexed: Sequence[int], *words: int, network: str = ETHEREUM) -> str:
    topics = [topic(signature), *("0x" + word(each).hex() for each in indexed)]
    return memo_of_log(network, topics, "0x" + b"".join(word(each) for each in words).hex())


def test_a_message_bridge_is_followed_by_its_number_among_many_payments() -> None:
    sent = log("DepositForBurn(uint64,address,uint256,address,bytes32,uint32,bytes32,bytes32)",
               [77, 1, 2], 1000, int(HIM, 16), 6, 0, 0)  # fmt: skip
    got = log("MessageReceived(address,uint32,uint64,bytes32,bytes)", [9, 77], 0, 0, 96, 0, network=BASE)
    other = log("MessageReceived(address,uint32,uint64,bytes32,bytes)", [9, 78], 0, 0, 96, 0, network=BASE)
    usdc, theirs = token("0xUSDC"), token("0xusdc", BASE)
    world = World()
    theft = world.pay("victim", "thief", 1000, asset=usdc)
    zero = "0x0000000000000000000000000000000000000000"
    world.transaction(("thief", zero, 1000, usdc), memo=sent)
    world.transaction((zero, HIM, 999, theirs), network=BASE, memo=other)
    world.transaction((zero, HIM, 1000, theirs), network=BASE, memo=got)
    trace = follow(ListedTransfers(world.rows), Known(), [theft])
    step = next(each for each in trace.steps if each.transfer.network == BASE)
    assert (step.transfer.units, step.reason, step.confidence) == (1000, Reason.BRIDGE, 100)
    assert not balances(trace)


def test_every_bridge_of_the_table_says_where_it_comes_out() -> None:
    across = log(
        "V3FundsDeposited(address,address,uint256,uint256,uint256,uint32,uint32,uint32,uint32,address,address,"
        "address,bytes)", [8453, 5, 1], 1, 2, 100, 99, 0, 0, 0, int(HIM, 16), 0, 320, 0,
    )  # fmt: skip
    filled = log(
        "FilledV3Relay(address,address,uint256,uint256,uint256,uint256,uint32,uint32,uint32,address,address,address,"
        "address,bytes,(address,bytes,uint256,uint8))", [1, 5, 1], 1, 2, 100, 99, 0, network=BASE,
    )  # fmt: skip
    guid = 0xFEED
    oft = log("OFTSent(bytes32,uint32,address,uint256,uint256)", [guid, 2], 30184, 10, 10)
    oft_got = log("OFTReceived(bytes32,uint32,address,uint256)", [guid, 3], 30101, 10, network=BASE)
    payload = b"\x01" + word(10) + word(1) + (2).to_bytes(2) + word(int(HIM, 16)) + (30).to_bytes(2) + word(0)
    data = word(12) + word(0) + word(128) + word(1) + word(len(payload)) + payload.ljust(160, b"\0")
    worm = memo_of_log(
        ETHEREUM, [topic("LogMessagePublished(address,uint64,uint32,bytes,uint8)"), "0x" + word(4).hex()],
        "0x" + data.hex(),
    )  # fmt: skip
    worm_got = log("TransferRedeemed(uint16,bytes32,uint64)", [2, 4, 12], network=BASE)
    for name, out, back, recipient in (
        ("Across", across, filled, HIM), ("LayerZero", oft, oft_got, ""), ("Wormhole", worm, worm_got, HIM),
    ):  # fmt: skip
        sent, got = message_of(ETHEREUM, out, "t"), message_of(BASE, back, "u")
        assert sent is not None, name
        assert got is not None, name
        assert (sent.name, sent.key, sent.is_sent) == (name, got.key, True)
        assert (sent.network, sent.recipient, got.is_sent) == (BASE, recipient, False)


def test_debridge_orders_have_one_number_on_both_sides() -> None:
    order = "(uint64,bytes,uint256,bytes,uint256,uint256,bytes,uint256,bytes,bytes,bytes,bytes,bytes,bytes)"
    heads = [1, 448, 1, 448, 100, 8453, 448, 99, 448, *[448] * 5]
    body = b"".join(word(each) for each in heads) + word(20) + bytes.fromhex(HIM[2:]).ljust(32, b"\0")
    sent = memo_of_log(
        ETHEREUM, [topic(f"CreatedOrder({order},bytes32,bytes,uint256,uint256,uint32,bytes)")],
        "0x" + (word(224) + word(0xD1) + word(0) * 5 + body).hex(),
    )  # fmt: skip
    got = memo_of_log(
        BASE, [topic(f"FulfilledOrder({order},bytes32,address,address)")],
        "0x" + (word(128) + word(0xD1) + word(0) * 2 + body).hex(),
    )  # fmt: skip
    one, two = message_of(ETHEREUM, sent, "t"), message_of(BASE, got, "u")
    assert one is not None
    assert two is not None
    assert (one.key, one.network, one.recipient) == (two.key, BASE, HIM)


def test_a_log_that_is_cut_short_says_nothing() -> None:
    assert log("OFTSent(bytes32,uint32,address,uint256,uint256)", [1, 2]) == ""
    assert log("Deposit(address,address,uint256,string)", [1, 2], 5, 64, 999) == ""
    assert memo_of_log(ETHEREUM, [], "0x") == ""


# --- candidates ---------------------------------------------------------------------------------------------------


class House(Known):
    """Names that know where a swapper pays from."""

    def addresses(self, name: str) -> Sequence[tuple[str, str]]:
        return [(BITCOIN, "payer")] if name == "Swapper" else []

    def service(self, network: str, address: str, at: int) -> Label | None:
        return super().service(network, address, at)


def swapper() -> tuple[World, House, Options]:
    world = World()
    world.pay("victim", "thief", 10**18)
    world.pay("thief", "swapper", 10**18)
    for number, units in enumerate((5_900_000, 5_950_000, 1_000, 6_300_000)):
        world.spend([(f"s{number}:0", "payer", units)], [(f"bc1c{number}", units)], id_=f"c{number}")
    worth = {ETH: Worth(10**18, 180_000), BTC: Worth(10**8, 3_000_000)}  # 1 ETH = 0.06 BTC
    return world, House(swapper=LabelKind.SWAPPER, payer=LabelKind.SWAPPER), Options(worth=worth)


def test_a_custodial_swapper_gives_candidates_and_never_a_fact() -> None:
    world, names, options = swapper()
    trace = follow(ListedTransfers(world.rows), names, world.rows[:1], options)
    found = [step for step in trace.steps if step.reason is Reason.CANDIDATE]
    assert {step.transfer.transaction for step in found} == {"c0", "c1"}
    assert {(step.of, step.confidence, sum(step.carried.values())) for step in found} == {(2, 50, 0)}
    assert all(step.after and "one of 2 that fit" in step.why for step in found)
    assert lies(trace, "swapper") == 10**18
    assert "candidates of 2" in end_at(trace, "swapper").detail
    assert not balances(trace)


def test_the_candidate_that_a_person_chose_is_followed() -> None:
    world, names, options = swapper()
    before = follow(ListedTransfers(world.rows), names, world.rows[:1], options)
    chosen = next(step for step in before.steps if step.transfer.transaction == "c1")
    decided = [Overrule(Decision.FOLLOW, "A. Analyst", 1, "the shop said so", step=chosen.id)]
    after = follow(ListedTransfers(world.rows), names, world.rows[:1], options, decided)
    assert lies(after, "bc1c1") == 5_950_000
    assert lies(after, "swapper") == 0
    assert not balances(after)


def test_without_rates_nothing_in_another_asset_is_a_candidate_and_that_is_said() -> None:
    world, names, _ = swapper()
    trace = follow(ListedTransfers(world.rows), names, world.rows[:1])
    assert all(step.reason is not Reason.CANDIDATE for step in trace.steps)
    assert any("No rate of" in each for each in trace.stopped)


def test_a_mixer_is_an_anonymity_set_with_a_probability() -> None:
    world = World()
    for number in range(3):
        world.pay(f"saver{number}", "mixer", 100)
    theft = world.pay("victim", "thief", 100)
    world.pay("thief", "mixer", 100)
    for number in range(4):
        world.pay("mixer", f"out{number}", 99)
    world.pay("mixer", "large", 1000)
    trace = follow(ListedTransfers(world.rows), Known(mixer=LabelKind.MIXER), [theft])
    found = [step for step in trace.steps if step.reason is Reason.MIXER]
    assert [step.transfer.target for step in found] == [f"out{number}" for number in range(4)]
    assert {(step.of, step.confidence) for step in found} == {(4, 25)}
    assert lies(trace, "mixer") == 100
    assert "anonymity set of 4" in end_at(trace, "mixer").detail


def test_a_large_set_is_counted_and_not_listed() -> None:
    world = World()
    theft = world.pay("victim", "thief", 100)
    world.pay("thief", "mixer", 100)
    for number in range(30):
        world.pay("mixer", f"out{number}", 100)
    trace = follow(ListedTransfers(world.rows), Known(mixer=LabelKind.MIXER), [theft])
    assert all(step.reason is not Reason.MIXER for step in trace.steps)
    assert any("anonymity set of 30" in each for each in trace.stopped)
