"""What may leave float, gas account and vault, and what may not: the rules, without nodes."""

from dataclasses import replace

import msgspec
import pytest

from holdfast.chains.outgoing import Outgoing, PaidOut
from holdfast.chains.port import Header
from holdfast.core.intents import Line, Payout
from holdfast.core.journal import Reserved
from holdfast.core.money import AssetId
from holdfast.core.networks import known_network
from holdfast.core.orders import Migration
from holdfast.policy.record import Record, Reservation
from holdfast.watchtower.matching import Ground, Role, judge

LTC = known_network("litecoin-regtest")
COIN = AssetId(LTC.coin.id)
OURS, OTHER = "aa" * 32, "bb" * 32
BLOCK = Header(7, "cc" * 32, "dd" * 32, 1)
RESERVED = Reserved(
    network=LTC.id, asset=COIN, purpose="payout", account="float", payouts=("one",), transaction="", inputs=("coin:0",),
    nonce=3, out_units=5, change_index=None, change_units=0, fee_units=1, extra_fee_units=1, replaces=None,
    refill_seconds=0,
)  # fmt: skip


@pytest.fixture
def record() -> Record:
    record = Record()
    record.reservations[1] = Reservation(1, RESERVED)
    record.transactions[OURS] = 1
    return record


@pytest.fixture
def ground() -> Ground:
    addresses = {"float": Role.FLOAT, "old": Role.OLD_FLOAT, "vault": Role.VAULT, "0xgas": Role.GAS}
    return Ground(LTC.id, addresses, {"coin:0": "float", "coin:1": "float", "oldcoin:0": "old", "deposit:0": "vault"})


def out(source: str, transaction: str = OTHER, *paid: tuple[str | None, int], block: Header | None = None) -> Outgoing:
    return Outgoing(source, transaction, tuple(PaidOut(to, COIN, units) for to, units in paid), block)


def found(record: Record, ground: Ground, *outgoing: Outgoing) -> list[str]:
    return [one.detail for one in judge(record, ground, outgoing, {})]


def test_the_float_pays_by_a_journaled_transaction_from_its_very_inputs(record: Record, ground: Ground) -> None:
    assert found(record, ground, out("coin:0", OURS)) == []
    assert "does not have" in found(record, ground, out("coin:0"))[0]
    assert "other inputs" in found(record, ground, out("coin:1", OURS))[0]


def test_an_accounts_transaction_has_its_journaled_nonce(record: Record, ground: Ground) -> None:
    assert found(record, ground, out("0xgas:3", OURS)) == []
    assert "other inputs" in found(record, ground, out("0xgas:4", OURS))[0]
    assert "gas account" in found(record, ground, out("0xgas:3"))[0]


def test_a_transaction_journaled_for_another_network_explains_nothing(record: Record, ground: Ground) -> None:
    record.reservations[1].body = msgspec.structs.replace(RESERVED, network="eip155:1")
    assert "eip155:1" in found(record, ground, out("coin:0", OURS))[0]


def test_a_settlement_to_the_float_with_change_to_the_vault_is_fine(record: Record, ground: Ground) -> None:
    assert found(record, ground, out("deposit:0", OTHER, ("float", 5), ("vault", 4))) == []


@pytest.mark.parametrize("to", ["stranger", "old", None, "0xgas"])
def test_the_vault_pays_nobody_else(record: Record, ground: Ground, to: str | None) -> None:
    assert "no officer ordered" in found(record, ground, out("deposit:0", OTHER, ("float", 5), (to, 1)))[0]


def test_a_spend_of_the_vault_whose_payees_nobody_shows_is_no_settlement(record: Record, ground: Ground) -> None:
    assert "does not show" in found(record, ground, out("deposit:0"))[0]


def test_an_unknown_output_that_is_watched_is_the_vaults(record: Record, ground: Ground) -> None:
    assert "the vault pays" in found(record, ground, out("unknown:0", OTHER, ("stranger", 1)))[0]


def test_an_ordered_direct_payout_leaves_the_vault_once(record: Record, ground: Ground) -> None:
    line = Line("payee", 9)
    record.direct["one"] = Payout(
        merchant="mer_one", network=LTC.id, asset=COIN, lines=(line,), fee_units=0, number=1, not_before=0,
        expires_at=1, reference="",
    )  # fmt: skip
    first = out("deposit:0", OTHER, ("payee", 9), block=BLOCK)
    assert found(record, ground, first) == []
    assert found(record, ground, first) == [], "the same transaction, read again after a restart of the look"
    assert len(found(record, ground, out("deposit:1", "ee" * 32, ("payee", 9), block=BLOCK))) == 1
    assert len(found(record, ground, out("deposit:1", "ee" * 32, ("payee", 8), block=BLOCK))) == 1


def test_a_migration_that_the_quorum_ordered_may_take_it(record: Record, ground: Ground) -> None:
    moved = out("deposit:0", OTHER, ("new vault", 9))
    assert found(record, ground, moved) != []
    record.migrations[LTC.id] = (Migration(LTC.id, "new vault", 0, 1), 0)
    assert found(record, ground, moved) == []


def test_a_transaction_of_many_inputs_is_told_once_for_each_owner(record: Record, ground: Ground) -> None:
    many = [out("coin:0"), out("coin:1"), replace(out("deposit:0"), paid=(PaidOut("stranger", COIN, 1),))]
    assert [one.role for one in judge(record, ground, many, {})] == [Role.FLOAT, Role.VAULT]


def test_an_old_floats_spend_is_told_as_what_it_is(record: Record, ground: Ground) -> None:
    [mismatch] = judge(record, ground, [out("oldcoin:0")], {})
    assert mismatch.role is Role.OLD_FLOAT
