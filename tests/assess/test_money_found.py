"""Grants, limits and balances: in each test exactly one thing of a good set-up is broken, and exactly that is found."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from fixtures_assess import Assessed, with_books
from fixtures_policy import MERCHANT, Books as WrittenBooks
from holdfast.faces.assess.inventory import Inventory
from holdfast.payments import merchants
from holdfast.payments.catalogue import catalogue
from holdfast.payments.certification import Enrolment, enrol
from holdfast.payments.reconciliation import Figures
from holdfast.policy.document import read_policy
from holdfast.runtime.clock import SYSTEM_CLOCK
from holdfast.vault import documents

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("assess")]

LTC = "bip122:530827f38f93b43ed12af0b3ad25a288/slip44:1"
Reword = Callable[[str], str]


def policy_text(assessed: Assessed) -> str:
    return documents.read(assessed.directory / "policy.json").document


def with_policy(assessed: Assessed, reword: Reword) -> Inventory:
    """The good set-up under another policy."""
    text = reword(policy_text(assessed))
    assert text != policy_text(assessed)
    return replace(assessed.good, files=replace(assessed.good.files, policy=read_policy(text.encode())))


def instead(old: str, new: str, count: int = 1) -> Reword:
    return lambda text: text.replace(old, new, count)


def expiring(days: int) -> Reword:
    until = (SYSTEM_CLOCK.now() + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return lambda text: "\n".join(
        f"expires_at = {until}" if line.startswith("expires_at") else line for line in text.splitlines()
    )


@pytest.mark.parametrize(
    ("reword", "kind"),
    [
        (expiring(-1), "policy-expired"),
        (expiring(29), "policy-expires-soon"),
        (instead('total = { burst = "400.00"', 'total = { burst = "1000.00"'), "limit-not-binding"),
        (instead('total = { burst = "400.00"', 'total = { burst = "600.00"'), "limit-fast"),
        (instead('approvals = [{ above = "150.00", count = 1 }]', "approvals = []"), "approvals-missing"),
        (instead('float_cap = "1000.00"', 'float_cap = "999.00"'), "cap-differs"),
        (
            lambda text: text + f'\n[merchants."mer_one"]\n"{LTC}" = {{ burst = "401", per_day = "1" }}\n',
            "merchant-limit-above-total",
        ),
    ],
)
def test_a_policy_that_ends_or_does_not_limit(assessed: Assessed, reword: Reword, kind: str) -> None:
    assert set(assessed.added(with_policy(assessed, reword))) == {kind}


@pytest.mark.parametrize(
    ("name", "floor"),
    [("loosening_seconds", 86_400), ("recovery_seconds", 1_209_600), ("restore_soak_seconds", 600)],
)
def test_a_delay_at_its_floor_is_not_found_fault_with(assessed: Assessed, name: str, floor: int) -> None:
    def at_floor(text: str) -> str:
        return "\n".join(f"{name} = {floor}" if one.startswith(name) else one for one in text.splitlines())

    mended = with_policy(assessed, at_floor)
    assert assessed.added_to(mended, assessed.good)["delays-below-floor"].subject == name
    assert not assessed.added(mended)


def test_payouts_without_any_policy(assessed: Assessed) -> None:
    broken = replace(assessed.good, files=replace(assessed.good.files, policy=None))
    assert set(assessed.added(broken)) == {"policy-missing"}


def listed(merchant: str, days: int) -> Reword:
    until = (SYSTEM_CLOCK.now() + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return lambda text: (
        text
        + f'\n[[listed]]\nmerchant = "{merchant}"\nnetwork = "eip155:31337"\naddress = "0xabc"\nexpires_at = {until}\n'
    )


async def test_an_allow_listed_destination_that_outlives_its_reason(
    assessed: Assessed, in_database: AsyncConnection
) -> None:
    merchant = await enrolled(in_database, assessed)
    good = await with_books(assessed.good, in_database)

    def added(who: str, days: int) -> set[str]:
        under = with_policy(assessed, listed(who, days))
        return set(assessed.added_to(good, replace(under, books=good.books)))

    assert added(merchant, 300) == set()
    assert added(merchant, 368) == {"allow-list-long"}
    assert added("mer_gone", 300) == {"allow-list-forgotten"}
    await merchants.close(in_database, merchant)
    good = await with_books(assessed.good, in_database)
    assert added(merchant, 300) == {"allow-list-forgotten"}
    assert added(merchant, -1) == set()  # it opens nothing any more


async def enrolled(conn: AsyncConnection, assessed: Assessed) -> str:
    listed_networks = catalogue(assessed.good.settings)
    return (await enrol(conn, Enrolment("shop", b"\x01" * 32, b"\x02" * 32), listed_networks, SYSTEM_CLOCK.now())).id


@pytest.mark.parametrize(
    ("days", "kind"),
    [(-1, "certificate-expired"), (29, "certificate-expires-soon"), (200, None), (368, "certificate-long")],
)
async def test_a_certificate_that_ends_or_that_does_not(
    assessed: Assessed, in_database: AsyncConnection, days: int, kind: str | None
) -> None:
    merchant = await enrolled(in_database, assessed)
    await in_database.execute(
        "UPDATE payments.merchants SET state = 'active', certificate_version = 1,"
        " certified_until = now() + make_interval(days => %s) WHERE id = %s",
        (days, merchant),
    )
    added = assessed.added(await with_books(assessed.good, in_database))
    assert set(added) == ({kind} if kind else set())


async def place_standing_order(conn: AsyncConnection, merchant: str, days: int) -> None:
    await conn.execute(
        """
        INSERT INTO payments.standing_orders (id, intent_id, merchant_id, reference, network, asset, destination, units,
            minimum_units, fee_units, every_seconds, document, signature, state, due_at, not_before, expires_at,
            created_at)
        VALUES ('so_1', 'aa', %s, 'rent', 'eip155:31337', 'eip155:31337/slip44:60', '0xabc', 5, 1, 0, 86400, '{}', '',
            'active', now(), now(), now() + make_interval(days => %s), now())
        """,
        (merchant, days),
    )


async def test_a_standing_order_for_years_and_one_of_a_merchant_who_is_gone(
    assessed: Assessed, in_database: AsyncConnection
) -> None:
    merchant = await enrolled(in_database, assessed)
    await place_standing_order(in_database, merchant, 368)
    assert set(assessed.added(await with_books(assessed.good, in_database))) == {"standing-order-long"}
    await merchants.close(in_database, merchant)
    assert set(assessed.added(await with_books(assessed.good, in_database))) == {"standing-order-of-closed-merchant"}
    await in_database.execute("UPDATE payments.standing_orders SET state = 'stopped'")
    assert not assessed.added(await with_books(assessed.good, in_database))


async def reconciled(
    conn: AsyncConnection, *, hours: int = 0, float_units: str = "0", findings: list[dict[str, str]] | None = None
) -> None:
    """A comparison of chain and books of the Litecoin asset."""
    figures = dict.fromkeys(Figures.__struct_fields__, "0") | {"float_chain_units": float_units}
    await conn.execute(
        "INSERT INTO payments.reconciliations (asset, height, hash, figures, gap_units, findings, made_at)"
        " VALUES (%s, 1, 'aa', %s, 0, %s, now() - make_interval(hours => %s))",
        (LTC, Jsonb(figures), Jsonb(findings or []), hours),
    )


async def test_chain_and_books_that_were_never_compared_are_found(
    assessed: Assessed, in_database: AsyncConnection
) -> None:
    await reconciled(in_database)
    mended = await with_books(assessed.good, in_database)
    assert not assessed.added(mended)
    assert assessed.added_to(mended, assessed.good)["reconciliation-missing"].subject == "rLTC"


@pytest.mark.parametrize(
    ("facts", "kind"),
    [
        ({"hours": 26}, "reconciliation-old"),
        ({"float_units": "100000000001"}, "float-above-cap"),
        (
            {"findings": [{"kind": "backing-short", "subject": "rLTC", "units": "-5"}]},
            "reconciliation-gap",
        ),
    ],
)
async def test_a_comparison_that_is_old_or_does_not_add_up(
    assessed: Assessed, in_database: AsyncConnection, facts: dict[str, object], kind: str
) -> None:
    await reconciled(in_database, **facts)  # type: ignore[arg-type]  # it is the same there
    assert set(assessed.added(await with_books(assessed.good, in_database))) == {kind}


def written(assessed: Assessed, days: int = 0) -> tuple[WrittenBooks, Inventory]:
    """A journal with genesis, the good policy taken so long ago, and one merchant."""
    books = WrittenBooks().begin()
    at = int((assessed.good.at - timedelta(days=days)).timestamp())
    books.now = at
    books.policy(policy_text(assessed), at)
    books.certify(expires_at=datetime.fromtimestamp(at, UTC) + timedelta(days=700))
    assert assessed.good.books is not None
    return books, replace(assessed.good, books=replace(assessed.good.books, record=books.record))


def test_a_policy_that_nobody_has_read_for_half_a_year(assessed: Assessed) -> None:
    assert not assessed.added(written(assessed, 179)[1])
    assert set(assessed.added(written(assessed, 182)[1])) == {"policy-not-reviewed"}


def test_a_key_change_that_was_vetoed_and_not_decided(assessed: Assessed) -> None:
    _, inventory = written(assessed)
    inventory.books.record.merchants[MERCHANT].vetoed.add(2)  # type: ignore[union-attr]  # they are there
    assert set(assessed.added(inventory)) == {"merchant-key-vetoed"}
    inventory.books.record.merchants[MERCHANT].decided[2] = (0, False)  # type: ignore[union-attr]  # it is the same there
    assert not assessed.added(inventory)
