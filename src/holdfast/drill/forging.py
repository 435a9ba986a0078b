"""What an attacker with a platform's database writes into it: payouts, documents and hints that look like genuine ones.

The signer is served from these tables, so this is every message that a platform can send it.
"""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast.core.intents import Line, Payout, intent_id, read_intent
from holdfast.core.quorum import tagged

FRESH_SECONDS = 3_600


async def put_payout(
    database: Any, document: str, signature: str, *, approvals: Sequence[Mapping[str, str]] = ()
) -> str:
    """A payout that waits for the signer, with its lines, as the API would have written it; its intent's id."""
    intent, content = intent_id(document.encode()), read_intent(document.encode())
    assert isinstance(content, Payout)  # noqa: S101  nothing else is put here
    row = {
        "id": f"pay_{secrets.token_hex(13)}", "key": intent, "intent_id": intent, "merchant_id": content.merchant,
        "reference": f"{content.reference} {secrets.token_hex(4)}", "number": -secrets.randbits(60),
        "network": content.network, "asset": content.asset, "lines_units": content.lines_units,
        "fee_units": content.fee_units, "document": document, "signature": signature, "state": "reserved",
        "approvals": list(approvals), "not_before": _time(content.not_before),
        "expires_at": _time(content.expires_at), "created_at": _time(content.not_before), "is_direct": False,
    }  # fmt: skip
    await put_row(database, "payouts", row)
    await database.execute(
        "INSERT INTO payments.payout_lines (payout_id, place, destination, units, state) "
        "SELECT %s, place - 1, destination, units, 'waiting' "
        "FROM unnest(%s::text[], %s::numeric[]) WITH ORDINALITY AS given (destination, units, place)",
        [row["id"], [line.destination for line in content.lines], [line.units for line in content.lines]],
    )
    return intent


async def put_row(database: Any, table: str, row: Mapping[str, object]) -> None:
    """A row of one of the platform's tables, with the defaults of what it does not name; what is there stays."""
    text = json.dumps(row)
    names = ", ".join(row)
    await database.execute(
        f"INSERT INTO payments.{table} ({names}) "  # noqa: S608  the attacker's own words
        f"SELECT {names} FROM jsonb_populate_record(NULL::payments.{table}, %s) ON CONFLICT DO NOTHING",
        [text],
    )


async def put_document(database: Any, kind: str, document: str, signatures: Sequence[Mapping[str, str]]) -> None:
    """A policy, order, veto or recovery for the signer to fetch."""
    await database.execute(
        "INSERT INTO payments.signer_documents (kind, sha256, document, signatures, stored_by, stored_at) "
        "VALUES (%s, encode(sha256(%s), 'hex'), %s, %s, 'key_0', now()) ON CONFLICT DO NOTHING",
        [kind, document.encode(), document, json.dumps(list(signatures))],
    )


async def put_hint(database: Any, kind: str, network: str, height: int, **facts: object) -> None:
    """A place where the signer shall look."""
    row = {"kind": kind, "network": network, "height": height, "key": f"forged {secrets.token_hex(8)}"} | facts
    await put_row(database, "signer_hints", row)


async def number_above(database: Any, merchant: str) -> int:
    """A payout's number that the merchant has not used, and that is not too far below those that he has."""
    cursor = await database.execute(
        "SELECT coalesce(max((document::jsonb ->> 'number')::bigint), 0) FROM payments.payouts WHERE merchant_id = %s",
        [merchant],
    )
    return int((await cursor.fetchone())[0]) + 1_000


async def journaled(database: Any, kind: str) -> list[dict[str, Any]]:
    """Bodies of a kind in the platform's copy of the signer's journal: documents with their genuine signatures."""
    cursor = await database.execute(
        "SELECT document::jsonb -> 'body' FROM payments.journal WHERE kind = %s ORDER BY seq", [kind]
    )
    return [body for (body,) in await cursor.fetchall()]


def signature_sets(
    key: Ed25519PrivateKey, tag: bytes, document: str, genuine: Sequence[Mapping[str, str]]
) -> list[list[dict[str, str]]]:
    """Every way to sign a document for people whose keys one does not have."""
    own, public = key.sign(tagged(tag, document.encode())).hex(), key.public_key().public_bytes_raw().hex()
    names = [one["officer"] for one in genuine]
    return [
        [dict(one) for one in genuine],  # theirs, made for another document
        [{"officer": name, "signature": own} for name in names],  # his own, in their names
        [{"officer": public, "signature": own}] * 3,
        [dict(genuine[0])] * 3 if genuine else [],
        [{"officer": name, "signature": "00" * 64} for name in names],
        [],
    ]


def told(port: int, line: Mapping[str, object]) -> str:
    """What the watchtower answers to a line; empty: nothing."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(json.dumps(line).encode() + b"\n")
            return connection.makefile("rb").readline(65_536).decode(errors="replace")
    except OSError:
        return ""


def text_of(document: object) -> str:
    """JSON as signed documents have it."""
    return json.dumps(document, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def payout_of(merchant: str, asset: str, to: Mapping[str, int], *, number: int, fee_units: int = 0) -> Payout:
    """A payout that begins now, for a key to sign. `to`: units by destination."""
    now = int(datetime.now(UTC).timestamp())  # noqa: TID251  the attacker's own machine
    lines = tuple(Line(destination, units) for destination, units in to.items())
    return Payout(
        merchant=merchant, network=asset.partition("/")[0], asset=asset, lines=lines, fee_units=fee_units,
        number=number, not_before=now - 60, expires_at=now + FRESH_SECONDS, reference=f"order {number}",
    )  # fmt: skip


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
