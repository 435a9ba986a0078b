"""The ledger against a model of twenty lines: any operations, in any order, replayed at any time, in any batches."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from psycopg import AsyncConnection

from conftest import FreshDatabase
from holdfast.core.money import AssetId
from holdfast.ledger import (
    Account,
    AccountKind,
    Balance,
    Outcome,
    Posted,
    Refused,
    Replayed,
    Rule,
    Step,
    Transfer,
    audit,
    balance,
    post,
    post_pending,
    reserve,
    void,
)

COINS = [AssetId("a/slip44:1"), AssetId("b/slip44:2")]
ACCOUNTS = [Account(kind, coin, owner) for coin in COINS for kind, owner in (
    (AccountKind.VAULT, ""), (AccountKind.MERCHANT, "mer_1"), (AccountKind.MERCHANT, "mer_2"), (AccountKind.INCOME, ""),
)]  # fmt: skip


EVERY_ANSWER = {None, "replayed", *Rule}
ROUNDS_MAX = 5
"""One round nearly always draws every answer; which ones it draws is chance."""
MANY = settings(max_examples=150, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck))


# Mostly possible pairs, from the vault first, so that runs get somewhere; impossible ones now and then.
PAIRS = [(a, b) for a in ACCOUNTS for b in ACCOUNTS if a != b and a.asset == b.asset] * 2
PAIRS += [(a, b) for a, b in PAIRS if a.kind is AccountKind.VAULT] * 3 + [(a, b) for a in ACCOUNTS for b in ACCOUNTS]


class Model:
    """What the ledger should say, without a database: totals per account, and every key's content."""

    def __init__(self) -> None:
        self.known: dict[str, Transfer] = {}
        self.totals: defaultdict[Account, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        self.ended: set[str] = set()

    def judge(self, transfer: Transfer) -> Rule | str | None:
        """What the ledger should answer; None for a transfer that is posted."""
        old = self.known.get(transfer.key)
        if old is not None:
            return "replayed" if old == transfer else Rule.KEY_REUSED
        if transfer.debit == transfer.credit:
            return Rule.ACCOUNTS_SAME
        if transfer.debit.asset != transfer.credit.asset:
            return Rule.ASSETS_DIFFER
        held = self.known.get(transfer.settles or "")
        if transfer.settles is not None and (refusal := self.judge_ending(transfer, held)):
            return refusal
        released = held.units if held else 0
        spent = transfer.units if transfer.step is not Step.VOID else 0
        debited, credited, waiting, _ = self.totals[transfer.debit]
        if transfer.debit.kind is AccountKind.MERCHANT and credited - debited - waiting + released < spent:
            return Rule.BALANCE_TOO_LOW
        self.take(transfer, spent, released)
        return None

    def judge_ending(self, transfer: Transfer, held: Transfer | None) -> Rule | None:
        """Why a transfer cannot end that pending one."""
        if held is None or held.step is not Step.PENDING:
            return Rule.PENDING_UNKNOWN
        if (held.debit, held.credit) != (transfer.debit, transfer.credit):
            return Rule.PENDING_DIFFERS
        if transfer.settles in self.ended:
            return Rule.PENDING_ENDED
        if transfer.units > held.units or (transfer.step is Step.VOID and transfer.units != held.units):
            return Rule.PENDING_EXCEEDED
        return None

    def take(self, transfer: Transfer, spent: int, released: int) -> None:
        """Remember a posted transfer."""
        self.known[transfer.key] = transfer
        place = 2 if transfer.step is Step.PENDING else 0
        self.totals[transfer.debit][place] += spent
        self.totals[transfer.credit][place + 1] += spent
        if transfer.settles is not None:
            self.ended.add(transfer.settles)
            self.totals[transfer.debit][2] -= released
            self.totals[transfer.credit][3] -= released


class LedgerMachine(RuleBasedStateMachine):
    """One database for all runs; each run has assets and keys of its own, so that runs do not see each other."""

    connection: ClassVar[AsyncConnection]
    loop: ClassVar[asyncio.Runner]
    runs: ClassVar[Iterator[int]] = count()
    seen: ClassVar[Counter[Rule | str | None]] = Counter()
    transfers = Bundle("transfers")
    pendings = Bundle("pendings")

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.run = next(self.runs)

    def own(self, account: Account) -> Account:
        return replace(account, asset=AssetId(f"{account.asset}/{self.run}"))

    @rule(
        target=transfers,
        key=st.integers(0, 40),
        pair=st.sampled_from(PAIRS),
        units=st.integers(1, 1000),
        step=st.sampled_from([Step.POSTED, Step.POSTED, Step.PENDING]),
    )
    def make(self, key: int, pair: tuple[Account, Account], units: int, step: Step) -> Transfer:
        debit, credit = pair
        return Transfer(f"{self.run}/k{key}", self.own(debit), self.own(credit), units, "x", "test", step)

    @rule(target=pendings, key=st.integers(100, 999), pair=st.sampled_from(PAIRS), units=st.integers(1, 100))
    def hold(self, key: int, pair: tuple[Account, Account], units: int) -> Transfer:
        """A pending transfer that is posted at once, for others to end."""
        pending = reserve(self.make(key, pair, units, Step.POSTED))
        self.post_batch([pending])
        return pending

    @rule(
        target=transfers,
        pending=st.one_of(pendings, pendings, transfers),
        key=st.integers(41, 60),
        part=st.integers(1, 120),
        twisted=st.sampled_from([False, False, False, True]),
        posted=st.sampled_from([True, True, False]),
    )
    def end(self, pending: Transfer, key: int, part: int, twisted: bool, posted: bool) -> Transfer:
        """What ends it, or tries to: for too much, again, or with its accounts the wrong way round."""
        meant = replace(pending, debit=pending.credit, credit=pending.debit) if twisted else pending
        name = f"{self.run}/k{key}"
        ending = void(meant, name) if part > 100 else post_pending(meant, name, min(part, pending.units + 1))
        if posted:
            self.post_batch([ending])
        return ending

    @rule(pending=pendings, key=st.integers(0, 40))
    def end_twice(self, pending: Transfer, key: int) -> None:
        """Void it, and void it once more under another key."""
        self.post_batch([void(pending, f"{self.run}/once{key}"), void(pending, f"{self.run}/again{key}")])

    @rule(batch=st.lists(transfers, min_size=1, max_size=8))
    def post_batch(self, batch: list[Transfer]) -> None:
        expected = [self.model.judge(transfer) for transfer in batch]
        self.seen.update(expected)
        got = self.loop.run(post(self.connection, batch))
        assert [told(outcome) for outcome in got] == expected

    @initialize(units=st.lists(st.integers(500, 3000), min_size=2, max_size=2))
    def fund(self, units: list[int]) -> None:
        """Without money nothing happens: each asset's first merchant gets some."""
        shops = [(account, ACCOUNTS[place - 1]) for place, account in enumerate(ACCOUNTS) if account.owner == "mer_1"]
        self.post_batch([
            Transfer(f"{self.run}/f{place}", self.own(vault), self.own(shop), units[place], "x", "deposit")
            for place, (shop, vault) in enumerate(shops)
        ])  # fmt: skip

    @invariant()
    def balances_are_the_models(self) -> None:
        for account, totals in self.model.totals.items():
            assert self.loop.run(balance(self.connection, account)) == Balance(*totals)


def told(outcome: Outcome) -> Rule | str | None:
    match outcome:
        case Posted():
            return None
        case Replayed():
            return "replayed"
        case Refused(rule=why):
            return why


def test_the_ledger_does_what_its_model_does(database: FreshDatabase) -> None:
    with asyncio.Runner() as loop:
        LedgerMachine.loop = loop
        LedgerMachine.connection = loop.run(AsyncConnection.connect(database.url, autocommit=True))
        for _ in range(ROUNDS_MAX):
            run_state_machine_as_test(LedgerMachine, settings=MANY)
            if set(LedgerMachine.seen) == EVERY_ANSWER:
                break
        checked = loop.run(audit(LedgerMachine.connection))
        loop.run(LedgerMachine.connection.close())
    assert checked.faults == ()
    assert set(LedgerMachine.seen) == EVERY_ANSWER, "or the runs above showed little"
    assert checked.transfers == LedgerMachine.seen[None]


@pytest.mark.parametrize("spenders", [8])
async def test_whoever_spends_at_once_cannot_spend_more_than_there_is(database: FreshDatabase, spenders: int) -> None:
    shop, vault = Account(AccountKind.MERCHANT, COINS[0], "mer_1"), Account(AccountKind.VAULT, COINS[0])
    url = database.url

    async def spend(number: int) -> int:
        async with await AsyncConnection.connect(url, autocommit=True) as connection:
            spent = 0
            for turn in range(40):
                outcome = (await post(connection, [Transfer(f"{number}:{turn}", shop, vault, 7, "x", "payout")]))[0]
                spent += 7 if isinstance(outcome, Posted) else 0
        return spent

    async with await AsyncConnection.connect(url, autocommit=True) as connection:
        await post(connection, [Transfer("in", vault, shop, 1000, "x", "deposit")])
        spent = sum(await asyncio.gather(*(spend(number) for number in range(spenders))))
        assert spent == 1000 // 7 * 7
        assert (await balance(connection, shop)).posted == 1000 - spent
        assert (await audit(connection)).balanced


async def test_one_key_sent_from_many_connections_at_once_is_posted_once(database: FreshDatabase) -> None:
    shop, vault = Account(AccountKind.MERCHANT, COINS[0], "mer_1"), Account(AccountKind.VAULT, COINS[0])
    url = database.url

    async def send() -> list[Outcome]:
        async with await AsyncConnection.connect(url, autocommit=True) as connection:
            return [(await post(connection, [Transfer(f"k{n}", vault, shop, 5, "x", "deposit")]))[0] for n in range(20)]

    outcomes = [outcome for sender in await asyncio.gather(*(send() for _ in range(6))) for outcome in sender]
    assert sum(isinstance(outcome, Posted) for outcome in outcomes) == 20
    assert sum(isinstance(outcome, Replayed) for outcome in outcomes) == 100
