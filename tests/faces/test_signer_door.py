"""The signer's door: who gets in, what waits there, how long a poll waits, and what handing over the journal does."""

import asyncio
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fixtures_faces import Front, open_front, settings_for
from fixtures_journal import WrittenJournal
from holdfast.core import canonical, journal as j
from holdfast.core.orders import CHECKS, VETO_TAG, Restore, SignedOrder, Stage, Veto
from holdfast.core.quorum import Signature, tagged
from holdfast.faces.api.edge import BODY_BYTES_MAX
from holdfast.payments.hints import Hint, HintKind, put
from holdfast.runtime.settings import SignerSettings

TOKEN = "5c" * 32
LITECOIN = "bip122:530827f38f93b43ed12af0b3ad25a288"
NO_DEPOSIT = j.Deposit(LITECOIN, "aa:0", 7, "mer_nobody", f"{LITECOIN}/slip44:1", 5, 0, 100, "bb")


@pytest_asyncio.fixture
async def door(database: Any, tmp_path: Path) -> AsyncIterator[Front]:
    """The application of a platform that has a signer."""
    token_file = tmp_path / "signer.token"
    token_file.touch(mode=0o600)
    token_file.write_text(TOKEN)
    settings, officers = settings_for(tmp_path, database.url, signer=SignerSettings(token_file=token_file))
    async with open_front(settings, officers) as opened:
        yield opened


@pytest.fixture
def journal() -> WrittenJournal:
    return WrittenJournal()


async def work(door: Front, **query: Any) -> dict[str, Any]:
    """What waits; the certificate of the fixture's shop always does."""
    answer = await door.client.get("/signer/v1/work", params=query, headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def hand_over(door: Front, body: Any) -> Any:
    return await door.call("POST", "/signer/v1/journal", body, key=TOKEN)


def step(number: int) -> SignedOrder:
    document = canonical.write(Restore(("*",), Stage.ALLOWLISTED, 1_700_000_000, number, CHECKS)).decode()
    return SignedOrder(document, (Signature("ab" * 32, "cd" * 64),))


async def test_only_the_signers_token_opens_the_door(door: Front) -> None:
    for key in (None, door.operator, door.shop.key, TOKEN[:-1], TOKEN + "0", f"hf_{TOKEN}"):
        for method, path in (("GET", "/signer/v1/work"), ("POST", "/signer/v1/journal")):
            answer = await door.call(method, path, {} if method == "POST" else None, key=key)
            assert (answer.status_code, answer.json()["code"]) == (403, "signer-token-refused"), (key, path)


async def test_the_signers_token_opens_nothing_else(door: Front) -> None:
    answer = await door.call("GET", "/v1/merchants", key=TOKEN)
    assert answer.status_code == 401


async def test_where_there_is_no_signer_nobody_gets_in(front: Front) -> None:
    answer = await front.call("GET", "/signer/v1/work", key="")
    assert answer.json()["code"] == "signer-token-refused"


async def test_a_certificate_waits_until_the_journal_has_it(door: Front, journal: WrittenJournal) -> None:
    found = await work(door)
    (certificate,) = found["certificates"]
    document = certificate["document"]
    assert door.shop.id in document
    assert len(certificate["signatures"]) == 2
    journal.write(j.CertificateTaken(document, (), 1))
    assert (await hand_over(door, journal.wire())).json() == {"journal_seq": 1}
    assert (await work(door))["certificates"] == []


async def test_policies_orders_and_vetoes_wait_until_the_journal_has_them(door: Front, journal: WrittenJournal) -> None:
    order = step(1)
    body = {"document": order.document, "signatures": [{"officer": "ab" * 32, "signature": "cd" * 64}]}
    kept = (await door.call("POST", "/v1/orders", body, key=door.operator)).json()
    assert (kept["sha256"], kept["journal_seq"]) == (sha256(order.document.encode()).hexdigest(), None)
    key = Ed25519PrivateKey.generate()
    veto = Veto(door.shop.id, 1, key.public_key().public_bytes_raw().hex(), 1_700_000_000)
    document = canonical.write(veto).decode()
    signature = key.sign(tagged(VETO_TAG, document.encode())).hex()
    vetoed = await door.call("POST", "/v1/vetoes", {"document": document, "signature": signature})
    assert vetoed.status_code == 201, vetoed.text
    found = await work(door)
    assert [one["document"] for one in found["orders"]] == [order.document]
    assert found["vetoes"] == [{"document": document, "signature": signature}]
    journal.write(j.Ordered(order, 1))
    await hand_over(door, journal.wire())
    found = await work(door)
    assert (found["orders"], len(found["vetoes"])) == ([], 1)
    (listed,) = (await door.call("GET", "/v1/orders", key=door.operator)).json()["items"]
    assert listed["journal_seq"] == 1


async def test_nobody_can_spoil_an_order_by_handing_it_in_first_with_other_signatures(door: Front) -> None:
    order = step(2)
    for signature in ("00" * 64, "cd" * 64):
        body = {"document": order.document, "signatures": [{"officer": "ab" * 32, "signature": signature}]}
        assert (await door.call("POST", "/v1/orders", body, key=door.operator)).status_code == 201
    assert [one["signatures"][0]["signature"] for one in (await work(door))["orders"]] == ["00" * 64, "cd" * 64]


async def test_what_is_no_policy_order_or_veto_is_refused_at_once(door: Front) -> None:
    signed = {"document": "{}", "signatures": [{"officer": "ab" * 32, "signature": "cd" * 64}]}
    assert (await door.call("POST", "/v1/policies", signed, key=door.operator)).json()["code"] == "policy-malformed"
    assert (await door.call("POST", "/v1/orders", signed, key=door.operator)).json()["code"] == "order-malformed"
    stranger = Veto("mer_another", 1, "ab" * 32, 1_700_000_000)
    word = {"document": canonical.write(stranger).decode(), "signature": "cd" * 64}
    assert (await door.call("POST", "/v1/vetoes", word)).json()["code"] == "word-not-for-this"


async def test_a_poll_is_answered_at_once_only_if_there_is_more_than_was_seen(door: Front) -> None:
    seen = (await work(door))["version"]
    again = await work(door, after_version=seen, wait=0)
    assert again["certificates"], "all that waits is told, not only what is new"

    async def later() -> None:
        async with door.parts.pool.connection() as conn:
            await put(conn, [Hint(HintKind.FUNDING, LITECOIN, "cc:1", 12)])

    waiting = asyncio.create_task(work(door, after_version=seen, wait=25))
    await asyncio.sleep(0)  # the poll begins; whether it hears the news or sees them makes no difference to it
    await later()
    async with asyncio.timeout(10):  # far below the poll's own end
        found = await waiting
    assert found["fundings"] == [{"network": LITECOIN, "height": 12}]
    async with asyncio.timeout(10):
        missed = await work(door, after_version=seen, wait=25)
    assert missed["fundings"], "what came between two polls is not missed"


async def test_news_of_a_transaction_that_began_earlier_and_ended_later_is_not_missed(door: Front) -> None:
    async with door.parts.pool.connection() as slow, slow.transaction():
        await put(slow, [Hint(HintKind.FUNDING, LITECOIN, "slow:0", 1)])
        async with door.parts.pool.connection() as fast:
            await put(fast, [Hint(HintKind.FUNDING, LITECOIN, "fast:0", 2)])
        seen = (await work(door))["version"]
    async with asyncio.timeout(10):
        found = await work(door, after_version=seen, wait=25)
    assert {one["height"] for one in found["fundings"]} == {1, 2}


async def test_the_journal_is_taken_once_however_often_it_is_sent(door: Front, journal: WrittenJournal) -> None:
    journal.write(j.Started("boot", "1"), j.Started("boot", "2"))
    for _ in range(2):
        assert (await hand_over(door, journal.wire())).json() == {"journal_seq": 2}
    journal.write(j.Started("boot", "3"))
    overlapping = journal.wire(after=1)
    assert (await hand_over(door, overlapping)).json() == {"journal_seq": 3}
    exported = (await door.call("GET", "/v1/evidence?after=1", key=door.operator)).json()
    assert [one["hash"] for one in exported["entries"]] == [one.hash for one in journal.stored(1)]
    assert exported["receipt"]["lease"]["seq"] == 3


async def test_entries_that_do_not_follow_are_answered_with_where_the_mirror_stands(
    door: Front, journal: WrittenJournal
) -> None:
    journal.write(j.Started("boot", "1"), j.Started("boot", "2"))
    answer = await hand_over(door, journal.wire(after=1))
    assert answer.status_code == 409
    assert (answer.json()["code"], answer.json()["journal_seq"]) == ("journal-gap", 0)


async def test_an_edited_entry_is_refused_and_changes_nothing(door: Front, journal: WrittenJournal) -> None:
    journal.write(j.Started("boot", "1"))
    body = journal.wire()
    body["entries"][0]["document"] = body["entries"][0]["document"].replace("boot", "b00t")
    answer = await hand_over(door, body)
    assert (answer.status_code, answer.json()["code"]) == (400, "journal-broken")
    assert (await work(door))["journal_seq"] == 0


async def test_a_second_history_is_refused_and_a_person_called(door: Front, journal: WrittenJournal) -> None:
    journal.write(j.Started("boot", "1"))
    await hand_over(door, journal.wire())
    other = WrittenJournal()
    other.write(j.Started("elsewhere", "1"), j.Started("elsewhere", "2"))
    answer = await hand_over(door, other.wire())
    assert (answer.status_code, answer.json()["code"]) == (409, "mirror-forked")
    items = (await door.call("GET", "/v1/attention", key=door.operator)).json()["items"]
    assert "journal-forked" in [one["reason"] for one in items]


async def test_a_receipt_for_other_entries_is_refused(door: Front, journal: WrittenJournal) -> None:
    journal.write(j.Started("boot", "1"))
    body = journal.wire()
    body["lease"]["lease"]["head"] = "ee" * 32
    assert (await hand_over(door, body)).json()["code"] == "receipt-for-other"
    assert (await work(door))["journal_seq"] == 0


async def test_a_hint_is_closed_by_the_entry_that_answers_it(door: Front, journal: WrittenJournal) -> None:
    async with door.parts.pool.connection() as conn:
        await put(conn, [Hint(HintKind.DEPOSIT, LITECOIN, "aa:0", 100, 7, "mer_nobody")])
        await put(conn, [Hint(HintKind.DEPOSIT, LITECOIN, "aa:1", 101, 8, "mer_nobody")])
    expected = [
        {"network": LITECOIN, "index": index, "merchant": "mer_nobody", "height": 93 + index} for index in (7, 8)
    ]
    assert (await work(door))["deposits"] == expected
    journal.write(NO_DEPOSIT)
    await hand_over(door, journal.wire())
    assert (await work(door))["deposits"] == expected[1:]


async def test_a_signer_that_stopped_itself_calls_a_person(door: Front, journal: WrittenJournal) -> None:
    journal.write(j.Stopped(LITECOIN, "a spend of the float that is not in the journal"))
    await hand_over(door, journal.wire())
    (item,) = (await door.call("GET", "/v1/attention", key=door.operator)).json()["items"]
    assert (item["reason"], item["subject"]) == ("signer-stopped", LITECOIN)


async def test_a_journal_of_many_entries_fits_and_nothing_else_may_be_so_large(
    door: Front, journal: WrittenJournal
) -> None:
    journal.write(*(j.Started("boot", f"{number:0500}") for number in range(1_000)))
    assert len(str(journal.wire())) > 2 * BODY_BYTES_MAX
    assert (await hand_over(door, journal.wire())).json() == {"journal_seq": 1_000}
    large = {"document": "x" * BODY_BYTES_MAX, "signatures": []}
    assert (await door.call("POST", "/v1/orders", large, key=door.operator)).status_code == 413


async def test_the_platforms_role_cannot_change_what_it_has_mirrored(door: Front, journal: WrittenJournal) -> None:
    import psycopg

    journal.write(j.Started("boot", "1"))
    await hand_over(door, journal.wire())
    for statement in ("UPDATE payments.journal SET hash = 'x'", "DELETE FROM payments.journal"):
        async with door.parts.pool.connection() as conn:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                async with conn.transaction():
                    await conn.execute(statement)
