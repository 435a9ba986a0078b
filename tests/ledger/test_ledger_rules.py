"""Every rule of the ledger: one good transfer, one thing broken, one refusal."""

from dataclasses import replace

import psycopg
import pytest
from psycopg import AsyncConnection

from holdfast.core.money import UNITS_MAX, AssetId
from holdfast.ledger import (
    Account,
    AccountKind,
    AccountMalformed,
    Balance,
    Posted,
    Refused,
    Replayed,
    Rule,
    Step,
    Transfer,
    TransferMalformed,
    audit,
    balance,
    balances,
    history,
    post,
    post_pending,
    reserve,
    void,
)

COIN = AssetId("bip122:12a765e31ffd4059bada1e25190f6e98/slip44:2")
OTHER = AssetId("eip155:1/slip44:60")
VAULT = Account(AccountKind.VAULT, COIN)
SHOP = Account(AccountKind.MERCHANT, COIN, "mer_1")
CAFE = Account(AccountKind.MERCHANT, COIN, "mer_2")
DEPOSIT = Transfer("deposit:1", VAULT, SHOP, 100, "dep_1", "deposit")
SPENDING = Transfer("spend:1", SHOP, CAFE, 60, "pay_1", "payout")


async def test_a_transfer_moves_units_from_the_debited_to_the_credited_account(connection: AsyncConnection) -> None:
    assert [type(outcome) for outcome in await post(connection, [DEPOSIT])] == [Posted]
    assert await balance(connection, SHOP) == Balance(credits_posted=100)
    assert (await balance(connection, VAULT)).posted == -100


async def test_the_same_transfer_again_moves_nothing(connection: AsyncConnection) -> None:
    first = await post(connection, [DEPOSIT])
    again = await post(connection, [DEPOSIT, DEPOSIT])
    assert isinstance(first[0], Posted)
    assert again == [Replayed(first[0].seq)] * 2
    assert (await balance(connection, SHOP)).posted == 100


async def test_a_key_that_comes_twice_in_one_batch_is_posted_once(connection: AsyncConnection) -> None:
    outcomes = await post(connection, [DEPOSIT, DEPOSIT, replace(DEPOSIT, units=7)])
    assert isinstance(outcomes[0], Posted)
    assert outcomes[1:] == [Replayed(outcomes[0].seq), Refused(Rule.KEY_REUSED)]
    assert (await balance(connection, SHOP)).posted == 100


@pytest.mark.parametrize(
    "changed", [{"units": 99}, {"credit": CAFE}, {"about": "dep_2"}, {"kind": "tariff"}, {"step": Step.PENDING}]
)
async def test_a_key_is_never_used_for_another_content(connection: AsyncConnection, changed: dict[str, object]) -> None:
    await post(connection, [DEPOSIT])
    assert await post(connection, [replace(DEPOSIT, **changed)]) == [Refused(Rule.KEY_REUSED)]  # type: ignore[arg-type]  # the table's rows name fields


async def test_an_account_cannot_pay_itself(connection: AsyncConnection) -> None:
    assert await post(connection, [replace(DEPOSIT, credit=VAULT)]) == [Refused(Rule.ACCOUNTS_SAME)]


async def test_one_transfer_moves_one_asset(connection: AsyncConnection) -> None:
    crossed = replace(DEPOSIT, credit=Account(AccountKind.MERCHANT, OTHER, "mer_1"))
    assert await post(connection, [crossed]) == [Refused(Rule.ASSETS_DIFFER)]


async def test_a_merchant_cannot_spend_what_he_does_not_have(connection: AsyncConnection) -> None:
    await post(connection, [DEPOSIT])
    assert await post(connection, [replace(SPENDING, units=101)]) == [Refused(Rule.BALANCE_TOO_LOW)]
    assert isinstance((await post(connection, [replace(SPENDING, units=100)]))[0], Posted)


async def test_what_is_pending_counts_as_spent(connection: AsyncConnection) -> None:
    await post(connection, [DEPOSIT, reserve(SPENDING)])
    assert await balance(connection, SHOP) == Balance(credits_posted=100, debits_pending=60)
    assert (await balance(connection, CAFE)).available == 0
    assert await post(connection, [replace(SPENDING, key="spend:2", units=41)]) == [Refused(Rule.BALANCE_TOO_LOW)]


async def test_in_a_batch_each_transfer_sees_what_the_earlier_ones_did(connection: AsyncConnection) -> None:
    outcomes = await post(
        connection, [DEPOSIT, SPENDING, replace(SPENDING, key="spend:2"), replace(SPENDING, key="spend:3", units=40)]
    )
    assert [type(outcome) for outcome in outcomes] == [Posted, Posted, Refused, Posted]
    assert (await balance(connection, SHOP)).posted == 0


async def test_a_pending_transfer_is_posted_whole_or_in_part_and_the_rest_is_released(
    connection: AsyncConnection,
) -> None:
    await post(connection, [DEPOSIT, reserve(SPENDING), post_pending(reserve(SPENDING), "done:1", 25)])
    assert await balance(connection, SHOP) == Balance(debits_posted=25, credits_posted=100)
    assert await balance(connection, CAFE) == Balance(credits_posted=25)


async def test_a_voided_transfer_leaves_no_trace_in_the_balances(connection: AsyncConnection) -> None:
    await post(connection, [DEPOSIT, reserve(SPENDING), void(reserve(SPENDING), "undone:1")])
    assert await balance(connection, SHOP) == Balance(credits_posted=100)
    assert await balance(connection, CAFE) == Balance()


PENDING = reserve(SPENDING)


@pytest.mark.parametrize(
    ("ending", "rule"),
    [
        (post_pending(replace(PENDING, key="unknown"), "end:1"), Rule.PENDING_UNKNOWN),
        (post_pending(replace(PENDING, credit=VAULT), "end:1"), Rule.PENDING_DIFFERS),
        (post_pending(PENDING, "end:1", 61), Rule.PENDING_EXCEEDED),
        (replace(void(PENDING, "end:1"), units=59), Rule.PENDING_EXCEEDED),
        (post_pending(DEPOSIT, "end:1"), Rule.PENDING_UNKNOWN),
    ],
)
async def test_a_pending_transfer_ends_only_as_itself(
    connection: AsyncConnection, ending: Transfer, rule: Rule
) -> None:
    await post(connection, [DEPOSIT, PENDING])
    assert await post(connection, [ending]) == [Refused(rule)]
    assert (await balance(connection, SHOP)).debits_pending == 60


async def test_a_pending_transfer_ends_once(connection: AsyncConnection) -> None:
    await post(connection, [DEPOSIT, PENDING, post_pending(PENDING, "end:1")])
    outcomes = await post(connection, [void(PENDING, "end:2"), post_pending(PENDING, "end:3")])
    assert outcomes == [Refused(Rule.PENDING_ENDED)] * 2


@pytest.mark.parametrize(
    "changed",
    [
        {"units": 0},
        {"units": -1},
        {"units": UNITS_MAX + 1},
        {"key": ""},
        {"key": "x" * 201},
        {"key": "nul\0"},
        {"about": "lone \ud800"},
        {"settles": "spend:1"},
        {"step": Step.POST},
        {"step": Step.VOID},
    ],
)
def test_an_impossible_transfer_is_refused_before_it_can_fail_the_others_of_its_batch(
    changed: dict[str, object],
) -> None:
    with pytest.raises(TransferMalformed):
        replace(DEPOSIT, **changed)  # type: ignore[arg-type]  # the table's rows name fields


@pytest.mark.parametrize("owner", ["mer 1", "mer\n1", "é", "x" * 201])
def test_an_account_cannot_be_named_ambiguously(owner: str) -> None:
    with pytest.raises(AccountMalformed):
        Account(AccountKind.MERCHANT, COIN, owner)


async def test_the_largest_amount_of_any_chain_is_kept_exactly(connection: AsyncConnection) -> None:
    await post(connection, [replace(DEPOSIT, units=UNITS_MAX), replace(DEPOSIT, key="deposit:2", units=UNITS_MAX)])
    assert (await balance(connection, SHOP)).posted == 2 * UNITS_MAX


async def test_history_tells_each_transfer_with_the_balance_after_it_newest_first(connection: AsyncConnection) -> None:
    await post(connection, [DEPOSIT, SPENDING, replace(DEPOSIT, key="deposit:2", units=5)])
    told = await history(connection, SHOP)
    assert [(entry.change, entry.balance, entry.counterpart) for entry in told] == [
        (5, 45, VAULT),
        (-60, 40, CAFE),
        (100, 100, VAULT),
    ]
    assert [entry.seq for entry in await history(connection, SHOP, before=told[0].seq, limit=1)] == [told[1].seq]


async def test_a_balance_is_known_as_of_any_time(connection: AsyncConnection) -> None:
    await post(connection, [DEPOSIT])
    await post(connection, [PENDING])
    await post(connection, [void(PENDING, "end:1")])
    last, pending, first = await history(connection, SHOP)
    assert await balance(connection, SHOP, first.made_at) == Balance(credits_posted=100)
    assert await balance(connection, SHOP, pending.made_at) == Balance(credits_posted=100, debits_pending=60)
    assert await balance(connection, SHOP, last.made_at) == Balance(credits_posted=100)
    assert await balance(connection, CAFE, first.made_at) == Balance()


async def test_an_owner_sees_all_his_accounts(connection: AsyncConnection) -> None:
    await post(connection, [DEPOSIT])
    assert await balances(connection, "mer_1") == {SHOP: Balance(credits_posted=100)}
    assert await balances(connection, "mer_9") == {}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger.transfers SET units = 1",
        "DELETE FROM ledger.transfers",
        "TRUNCATE ledger.transfers",
        "INSERT INTO ledger.transfers (key, step, debit, credit, units, debit_balance, credit_balance, about, kind)"
        " VALUES ('x', 'posted', 1, 2, 1, 0, 0, '', '')",
        "UPDATE ledger.accounts SET credits_posted = 10 ^ 9",
        "INSERT INTO ledger.accounts (code, kind, asset, owner, has_floor) VALUES ('x', 'vault', 'x', '', false)",
        "SELECT * FROM ledger.post_together('{}', '{}', '{}', '{}', '{}', '{}', '{}')",
        "ALTER TABLE ledger.transfers DISABLE TRIGGER ALL",
        "SET session_replication_role = replica",
    ],
)
async def test_a_server_can_only_add_and_only_through_the_function(connection: AsyncConnection, statement: str) -> None:
    await post(connection, [DEPOSIT])
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await connection.execute(statement.encode())
    assert (await audit(connection)).balanced


@pytest.mark.parametrize(
    "statement",
    ["UPDATE ledger.transfers SET units = 1", "DELETE FROM ledger.transfers", "TRUNCATE ledger.transfers"],
)
async def test_not_even_the_owner_changes_a_transfer(
    connection: AsyncConnection, database: object, statement: str
) -> None:
    await post(connection, [DEPOSIT])
    async with await AsyncConnection.connect(database.owner_url, autocommit=True) as owner:  # type: ignore[attr-defined]  # the fixture's own class
        with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
            await owner.execute(statement.encode())


@pytest.mark.parametrize(
    ("tampering", "fault"),
    [
        ("UPDATE ledger.accounts SET credits_posted = credits_posted + 1 WHERE kind = 'merchant'", "sum to"),
        ("UPDATE ledger.accounts SET credits_posted = credits_posted + 1, debits_posted = debits_posted + 1", "differ"),
        (
            "ALTER TABLE ledger.transfers DISABLE TRIGGER append_only; UPDATE ledger.transfers SET credit_balance = 1",
            "should be",
        ),
        ("ALTER TABLE ledger.transfers DISABLE TRIGGER append_only; DELETE FROM ledger.transfers", "differ"),
        (
            "ALTER TABLE ledger.accounts DROP CONSTRAINT floor_holds; UPDATE ledger.accounts SET debits_posted = 500",
            "floor",
        ),
    ],
)
async def test_the_audit_finds_what_was_changed_behind_the_ledgers_back(
    connection: AsyncConnection, database: object, tampering: str, fault: str
) -> None:
    await post(connection, [DEPOSIT])
    assert (await audit(connection)).balanced
    async with await AsyncConnection.connect(database.owner_url, autocommit=True) as owner:  # type: ignore[attr-defined]  # the fixture's own class
        await owner.execute(tampering.encode())
    assert any(fault in said for said in (await audit(connection)).faults)


async def test_account_kinds_in_code_and_database_are_the_same(connection: AsyncConnection) -> None:
    cursor = await connection.execute("SELECT kind FROM ledger.account_kinds")
    assert {kind for (kind,) in await cursor.fetchall()} == {kind.value for kind in AccountKind}
