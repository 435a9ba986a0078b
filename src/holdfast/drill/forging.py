"""What an attacker with a platform's database writes into it: payouts, documents and hints that look like genuine ones.

The signer is served from these tables, so this is every message that a platform can send it.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from holdfast.core.intents import Line, Payout, intent_id, read_intent

FRESH_SECONDS = 3_600


async def put_payout(
    database: Any, document: str, signature: str, *, approvals: Sequence[Mapping[str, str]] = ()
) -> str:
    """A payout that waits for the signer, with its lines, as the API would have written it; its intent's id."""
    intent, content = intent_id(document.encode()), read_intent(document.encode())
    assert isinstance(content, Payout)  # noqa: S101  nothing else is put here
    row = {
        "id": f"pay_{secrets.token_hex(13)}", "key": intent, "intent_id": intent, "merchant_id": content.merchant,
        "reference": f"{content.reference} {secrets.token_hex(4)}", "number": secrets.randbits(60),
        "network": content.network, "asset": content.asset, "lines_units": content.lines_units,
        "fee_units": content.fee_units, "document": document, "signature": signature, "state": "reserved",
        "approvals": list(approvals), "not_before": _time(content.not_before),
        "expires_at": _time(content.expires_at), "created_at": _time(content.not_before), "is_direct": False,
    }  # fmt: skip
    await put_row(database, "payouts", row)
    for place, line in enumerate(content.lines):
        await database.execute(
            "INSERT INTO payments.payout_lines VALUES (%s, %s, %s, %s, 'waiting')",
            [row["id"], place, line.destination, line.units],
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


def payout_of(merchant: str, asset: str, to: Mapping[str, int], *, number: int, fee_units: int = 0) -> Payout:
    """A payout that begins now, for a key to sign. `to`: units by destination."""
    now = int(datetime.now(UTC).timestamp())  # noqa: TID251  the attacker's own machine
    lines = tuple(Line(destination, units) for destination, units in to.items())
    return Payout(
        merchant=merchant, network=asset.partition("/")[0], asset=asset, lines=lines, fee_units=fee_units,
        number=number, not_before=now - 60, expires_at=now + FRESH_SECONDS, reference=f"order {number}",
    )  # fmt: skip


def file_of(directory: Path, name: str) -> str:
    """A file of the zone that he owns."""
    return (directory / name).read_text(encoding="utf-8")


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
