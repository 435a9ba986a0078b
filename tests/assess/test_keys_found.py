"""Who holds what: in each test exactly one thing of a good set-up is broken, and exactly that is found."""

import shutil
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import msgspec
import pytest
from psycopg import AsyncConnection

from fixtures_assess import Assessed, with_books
from fixtures_policy import NOW, Books as WrittenBooks
from holdfast.core.quorum import Officer, Quorum
from holdfast.faces.assess.holdings import holdings
from holdfast.faces.assess.inventory import Inventory
from holdfast.payments import api_keys, merchants, mirror
from holdfast.payments.api_keys import MERCHANT_SCOPES, KeyRequest, Scope
from holdfast.payments.catalogue import catalogue
from holdfast.payments.certification import Enrolment, enrol
from holdfast.runtime.clock import SYSTEM_CLOCK

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("assess")]

NIGHT = "ab" * 32
"""A freeze key."""
NEXT_YEAR = f"{SYSTEM_CLOCK.now() + timedelta(days=365):%Y-%m-%d}"
OFFICERS = tuple(Officer(name, letter * 64) for name, letter in (("ada", "a"), ("bo", "b"), ("cy", "c"), ("di", "d")))


def quorum_of(good: Inventory, officers: int, threshold: int) -> Inventory:
    return replace(good, files=replace(good.files, quorum=Quorum(OFFICERS[:officers], threshold)))


@pytest.mark.parametrize(
    ("officers", "threshold", "kind"),
    [(3, 1, "quorum-of-one"), (4, 2, "quorum-minority"), (3, 3, "quorum-without-spare")],
)
def test_a_quorum_that_is_too_small_or_needs_everybody(
    assessed: Assessed, officers: int, threshold: int, kind: str
) -> None:
    broken = quorum_of(assessed.good, officers, threshold)
    assert kind in assessed.added(broken)
    assert set(assessed.added(quorum_of(assessed.good, 3, 2))) == {"root-fingerprint-differs"}  # it is another quorum


async def test_officers_keystores_on_the_server_are_counted_against_the_threshold(
    assessed: Assessed, tmp_path: Path
) -> None:
    officers = assessed.directory / "officers"
    aside = tmp_path / "aside"
    shutil.copytree(officers, aside)
    try:
        for name in ("officer-2.keystore", "officer-3.keystore"):
            (officers / name).unlink()
        one_left = assessed.added(await assessed.read())
        shutil.rmtree(officers)
        none_left = await assessed.read()
    finally:
        shutil.rmtree(officers, ignore_errors=True)
        shutil.copytree(aside, officers)
    assert "officer-key-online" in one_left
    assert not assessed.added(none_left)
    assert "vault-keys-online" in assessed.added_to(none_left, assessed.good)


@pytest.mark.parametrize("name", ["secrets/webhook.key", "signer/signer.keystore", "watchtower/passphrase"])
async def test_a_secret_that_others_may_read(assessed: Assessed, name: str) -> None:
    path = assessed.directory / name
    path.chmod(0o640)
    try:
        settings = assessed.good.settings  # a configuration that names such a file does not even load
        added = assessed.added(await assessed.read(settings))
    finally:
        path.chmod(0o600)
    assert set(added) == {"secret-exposed"}
    assert str(path) in added["secret-exposed"].what


async def test_a_directory_that_others_may_write_in(assessed: Assessed) -> None:
    assessed.directory.chmod(0o770)
    try:
        added = assessed.added(await assessed.read())
    finally:
        assessed.directory.chmod(0o700)
    assert set(added) == {"directory-writable"}


def test_a_keystore_that_is_cheap_to_guess(assessed: Assessed) -> None:
    keystores = assessed.good.files.keystores
    cheap = [replace(one, cost=2**15) if one.kind == "officer" else one for one in keystores]
    broken = replace(assessed.good, files=replace(assessed.good.files, keystores=tuple(cheap)))
    found = assessed.added(broken)
    assert set(found) == {"keystore-cheap"}
    assert "4 times" in found["keystore-cheap"].why


async def test_keys_in_a_hardware_module_are_not_found_fault_with(assessed: Assessed) -> None:
    file = assessed.directory / "signer" / "signer.toml"
    text = file.read_text()
    pin = assessed.directory / "signer" / "pin"
    pin.write_text("1234")
    pin.chmod(0o600)
    file.write_text(text + '\n[hsm]\nlibrary = "/usr/lib/softhsm.so"\ntoken = "holdfast"\npin_file = "pin"\n')
    try:
        mended = await assessed.read()
    finally:
        file.write_text(text)
        pin.unlink()
    assert not assessed.added(mended)
    assert set(assessed.added_to(mended, assessed.good)) == {"float-keys-in-software"}


@pytest.mark.parametrize(
    ("line", "gone"),
    [
        (f'freeze_keys = ["{NIGHT}"]\nfreeze_keys_until = {{ {NIGHT} = {NEXT_YEAR} }}\n', "freeze-keys-missing"),
        ("present_seconds = 259200\n", "presence-not-asked-for"),
    ],
)
async def test_a_watchtower_that_only_officers_can_stop_or_that_waits_for_nobody(
    assessed: Assessed, line: str, gone: str
) -> None:
    file = assessed.directory / "watchtower" / "tower.toml"
    text = file.read_text()
    file.write_text(line + text)
    try:
        mended = await assessed.read()
    finally:
        file.write_text(text)
    assert not assessed.added(mended)
    assert set(assessed.added_to(mended, assessed.good)) == {gone}


@pytest.mark.parametrize(
    ("days", "kind"), [(None, "freeze-key-without-end"), (-1, "freeze-key-over"), (13, "freeze-key-ends-soon")]
)
def test_a_freeze_key_that_has_no_end_or_is_at_it(assessed: Assessed, days: int | None, kind: str) -> None:
    def night_watch(until: date | None) -> Inventory:
        tower = assessed.good.files.tower
        assert tower is not None
        ends = {} if until is None else {NIGHT: until}
        tower = msgspec.structs.replace(tower, freeze_keys=(NIGHT,), freeze_keys_until=ends)
        return replace(assessed.good, files=replace(assessed.good.files, tower=tower))

    today = assessed.good.at.date()
    found = assessed.added(night_watch(None if days is None else today + timedelta(days=days)))
    assert set(found) == {kind}
    assert NIGHT[:16] in found[kind].what
    assert not assessed.added(night_watch(today + timedelta(days=14)))
    rows = {row.holds: row.until for row in holdings(night_watch(today + timedelta(days=14)))}
    assert rows[f"freeze key {NIGHT[:16]}…"] == str(today + timedelta(days=14))


async def test_officers_keys_are_as_old_as_the_genesis_and_none_of_them_ends(
    assessed: Assessed, in_database: AsyncConnection
) -> None:
    await mirror._store(in_database, WrittenBooks().begin().entries, SYSTEM_CLOCK.now())
    read = (await with_books(assessed.good, in_database)).books
    assert read is not None
    assert dict(read.key_dates)["officers' keys"] == NOW

    def after(days: int) -> Inventory:
        dates = (("officers' keys", int((assessed.good.at - timedelta(days=days)).timestamp())),)
        return replace(assessed.good, books=replace(assessed.good.books, key_dates=dates))  # type: ignore[type-var]  # they are there

    assert "officers-keys-old" not in assessed.added(after(730))
    found = assessed.added(after(731))
    assert "731 days" in found["officers-keys-old"].what
    assert "key-old" not in found


async def test_a_watchtower_on_this_host_has_its_key_in_software(assessed: Assessed) -> None:
    aside = assessed.directory / "aside"
    (assessed.directory / "watchtower").rename(aside)
    try:
        elsewhere = await assessed.read()
    finally:
        aside.rename(assessed.directory / "watchtower")
    assert "lease-key-in-software" in assessed.added_to(elsewhere, assessed.good)


@pytest.mark.parametrize("name", ["signer/signer.toml", "watchtower/tower.toml"])
async def test_a_zone_that_obeys_another_quorum(assessed: Assessed, name: str) -> None:
    file = assessed.directory / name
    text = file.read_text()
    file.write_text(text.replace(assessed.good.files.quorum.fingerprint(), "ee" * 32))  # type: ignore[union-attr]  # it is there
    try:
        added = assessed.added(await assessed.read())
    finally:
        file.write_text(text)
    assert set(added) == {"root-fingerprint-differs"}
    assert added["root-fingerprint-differs"].subject == str(file)


def test_a_float_key_that_has_grown_old(assessed: Assessed) -> None:
    written = WrittenBooks().begin()
    books = replace(
        assessed.good.books,  # type: ignore[type-var]  # they are there
        record=written.record,
        key_dates=(("float key of eip155:31337", int((assessed.good.at - timedelta(days=366)).timestamp())),),
    )
    broken = replace(assessed.good, books=books)
    assert assessed.added(broken)["key-old"].mend == "`holdfast rotate float`"
    young = (("float key of eip155:31337", int((assessed.good.at - timedelta(days=364)).timestamp())),)
    assert "key-old" not in assessed.added(replace(assessed.good, books=replace(books, key_dates=young)))


async def merchant_with_key(
    conn: AsyncConnection, assessed: Assessed, scopes: frozenset[Scope] = frozenset({Scope.INVOICES_WRITE})
) -> tuple[str, str]:
    """A merchant, and a good API key of his."""
    now = SYSTEM_CLOCK.now()
    listed = catalogue(assessed.good.settings)
    merchant = await enrol(conn, Enrolment("shop", b"\x01" * 32, b"\x02" * 32), listed, now)
    request = KeyRequest(merchant.id, "server", scopes, now + timedelta(days=90), ("203.0.113.7/32",))
    key, _ = await api_keys.create(conn, request, now)
    return merchant.id, key.id


async def operator_key(conn: AsyncConnection, *allowed: str) -> str:
    now = SYSTEM_CLOCK.now()
    request = KeyRequest(None, "operator", frozenset({Scope.OPERATOR}), now + timedelta(days=90), allowed)
    return (await api_keys.create(conn, request, now))[0].id


async def set_date(conn: AsyncConnection, key: str, column: str, days: int) -> None:
    query = f"UPDATE payments.api_keys SET {column} = now() + make_interval(days => %s) WHERE id = %s"  # noqa: S608  our own names
    await conn.execute(query.encode(), (days, key))


async def unused(conn: AsyncConnection, _: str, key: str) -> None:
    await set_date(conn, key, "created_at", -62)


async def old(conn: AsyncConnection, _: str, key: str) -> None:
    await set_date(conn, key, "created_at", -182)
    await set_date(conn, key, "last_used_at", -1)


async def ending(conn: AsyncConnection, _: str, key: str) -> None:
    await set_date(conn, key, "expires_at", 13)


async def closed(conn: AsyncConnection, merchant: str, _: str) -> None:
    await merchants.close(conn, merchant)


@pytest.mark.parametrize(
    ("harm", "kind"),
    [
        (unused, "api-key-unused"),
        (old, "api-key-old"),
        (ending, "api-key-expires-soon"),
        (closed, "api-key-of-closed-merchant"),
    ],
)
async def test_a_merchants_key_that_should_be_revoked(
    assessed: Assessed,
    in_database: AsyncConnection,
    harm: Callable[[AsyncConnection, str, str], Awaitable[None]],
    kind: str,
) -> None:
    merchant, key = await merchant_with_key(in_database, assessed)
    assert not assessed.added(await with_books(assessed.good, in_database))
    await harm(in_database, merchant, key)
    added = assessed.added(await with_books(assessed.good, in_database))
    assert set(added) == {kind}
    assert added[kind].subject == key
    assert f"--merchant {merchant}" in added[kind].mend
    await api_keys.revoke(in_database, key, merchant, SYSTEM_CLOCK.now())
    assert not assessed.added(await with_books(assessed.good, in_database))


async def test_a_merchants_key_with_every_scope(assessed: Assessed, in_database: AsyncConnection) -> None:
    await merchant_with_key(in_database, assessed, MERCHANT_SCOPES)
    assert set(assessed.added(await with_books(assessed.good, in_database))) == {"api-key-broad"}


async def test_an_operators_key_that_works_from_everywhere(assessed: Assessed, in_database: AsyncConnection) -> None:
    await operator_key(in_database, "203.0.113.7/32")
    assert not assessed.added(await with_books(assessed.good, in_database))
    key = await operator_key(in_database)
    added = assessed.added(await with_books(assessed.good, in_database))
    assert (set(added), added["operator-key-anywhere"].subject) == ({"operator-key-anywhere"}, key)


async def test_more_operators_keys_than_anybody_counts(assessed: Assessed, in_database: AsyncConnection) -> None:
    for _ in range(2):
        await operator_key(in_database, "203.0.113.7/32")
    assert not assessed.added(await with_books(assessed.good, in_database))  # with that of `init`, three
    await operator_key(in_database, "203.0.113.7/32")
    assert set(assessed.added(await with_books(assessed.good, in_database))) == {"operator-keys-many"}
