"""Makes `tests/vectors/intents.json`: signed intents, good and bad, for whoever writes a signer in another language.

Run it by `.venv/bin/python scripts/intent_vectors.py`. The key is a published one, of RFC 8032's first test: use it for
nothing. Every vector follows from this file alone, so that running it again changes nothing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast.core import intents
from holdfast.core.errors import HoldfastError
from holdfast.core.intents import (
    Conversion,
    Intent,
    Line,
    Payout,
    StandingOrder,
    document_of,
    read_intent,
    signing_input,
)
from holdfast.core.quorum import tagged

PATH = Path(__file__).parent.parent / "tests" / "vectors" / "intents.json"
KEY = Ed25519PrivateKey.from_private_bytes(
    bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
)
MERCHANT = "mer_01k9zq4w6t5v3n8r7x2yfgh1jk"
ETHEREUM, LITECOIN = "eip155:1", "bip122:12a765e31ffd4059bada1e25190f6e98"
USDT = f"{ETHEREUM}/erc20:0xdac17f958d2ee523a2206206994597c13d831ec7"
ETH, LTC = f"{ETHEREUM}/slip44:60", f"{LITECOIN}/slip44:2"
ALICE, BOB = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"
CAROL = "ltc1qw508d6qejxtdg4y5r3zarvary0c5xw7kgmn4n9"
BEGINS, ENDS = 1_792_000_000, 1_792_086_400

PLAIN: dict[str, Any] = {
    "merchant": MERCHANT, "network": ETHEREUM, "asset": USDT, "lines": (Line(ALICE, 25_000_000),), "fee_units": 500_000,
    "number": 1_792_000_000_123, "not_before": BEGINS, "expires_at": ENDS, "reference": "order 1007",
}  # fmt: skip
ORDER: dict[str, Any] = {
    "merchant": MERCHANT, "network": LITECOIN, "asset": LTC, "destination": CAROL, "units": 500_000_000,
    "fee_units": 10_000, "every_seconds": 86_400, "number": 7, "not_before": BEGINS, "expires_at": BEGINS + 90 * 86_400,
    "reference": "daily takings",
}  # fmt: skip

GOOD: dict[str, Intent] = {
    "one line": Payout(**PLAIN),
    "two lines, fee paid by the company": Payout(
        **{**PLAIN, "lines": (Line(ALICE, 1), Line(BOB, 2)), "fee_units": 0, "reference": "order 1008"}
    ),
    "units beyond 2^53, and a quote and a backslash in the reference": Payout(
        **{**PLAIN, "asset": ETH, "lines": (Line(BOB, 123_456_789_012_345_678_901),), "reference": 'a "b" \\c'}
    ),
    "Litecoin": Payout(
        **{**PLAIN, "network": LITECOIN, "asset": LTC, "lines": (Line(CAROL, 100_000),), "fee_units": 1}
    ),
    "standing order": StandingOrder(**ORDER),
    "conversion (not executed yet)": Conversion(
        merchant=MERCHANT, network=LITECOIN, asset=LTC, units=100_000_000, into_network=ETHEREUM, into_asset=USDT,
        into_units=84_000_000, quote="ab" * 32, number=9, not_before=BEGINS, expires_at=BEGINS + 60, reference="swap 1",
    ),
}  # fmt: skip

CHANGED: dict[str, dict[str, Any]] = {
    "no lines": {"lines": []},
    "a line of nothing": {"lines": [{"destination": ALICE, "units": "0"}]},
    "more than 2^256 - 1": {"lines": [{"destination": ALICE, "units": str(2**256)}]},
    "501 lines": {"lines": [{"destination": ALICE, "units": "1"}] * 501},
    "an address without its checksum": {"lines": [{"destination": ALICE.lower(), "units": "1"}]},
    "an address with a wrong checksum": {"lines": [{"destination": ALICE.replace("aAe", "AAe"), "units": "1"}]},
    "an address of another network": {"lines": [{"destination": CAROL, "units": "1"}]},
    "an asset of another network": {"asset": LTC},
    "an unknown network": {"network": "bip122:" + "00" * 16, "asset": "bip122:" + "00" * 16 + "/slip44:0"},
    "number zero": {"number": 0},
    "it ends before it begins": {"expires_at": BEGINS},
    "valid for more than 31 days": {"expires_at": BEGINS + 31 * 86_400 + 1},
    "an empty reference": {"reference": ""},
    "a reference of 121 characters": {"reference": "x" * 121},
    "a reference that is not ASCII": {"reference": "Bestellung für 1007"},
    "a field that nobody knows": {"memo": "hello"},
    "units as a number": {"fee_units": 500_000},
    "a number as text": {"number": "1792000000123"},
    "units with a leading zero": {"fee_units": "0500000"},
    "units with a sign": {"fee_units": "+500000"},
    "a kind that nobody knows": {"kind": "withdrawal"},
}


def canonical(value: Any) -> str:
    """As RFC 8785 writes it, for the values that intents have."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def bad_documents() -> dict[str, str]:
    """Documents that no signature makes good."""
    plain = json.loads(document_of(Payout(**PLAIN)))
    order = json.loads(document_of(StandingOrder(**ORDER)))
    text = canonical(plain)
    return {
        **{name: canonical({**plain, **change}) for name, change in CHANGED.items()},
        "a missing field": canonical({name: value for name, value in plain.items() if name != "expires_at"}),
        "fields in another order": json.dumps(dict(reversed(plain.items())), separators=(",", ":")),
        "white space": json.dumps(plain, sort_keys=True),
        "a field twice": text[:-1] + ',"reference":"order 1007"}',
        "a fraction": text.replace(str(plain["number"]), f"{plain['number']}.0"),
        "an escape where the letter would do": text.replace("order", "\\u006frder"),
        "a slot of less than a minute": canonical({**order, "every_seconds": 59}),
        "not JSON": "pay Alice",
    }


def outcome(document: str) -> str:
    """The code of the error with which it is refused."""
    try:
        read_intent(document.encode())
    except HoldfastError as error:
        return error.code
    raise AssertionError(f"not refused: {document[:200]}")


def vectors() -> dict[str, Any]:
    """The whole file."""
    good = []
    for name, intent in GOOD.items():
        document = document_of(intent)
        good.append({
            "name": name, "intent": json.loads(document), "document": document.decode(),
            "id": intents.intent_id(document), "signing_input": signing_input(document).hex(),
            "signature": KEY.sign(signing_input(document)).hex(),
        })  # fmt: skip
    plain = good[0]
    forged = {
        "another document": {**plain, "document": plain["document"].replace('"25000000"', '"25000001"')},
        "signed without the domain tag": {**plain, "signature": KEY.sign(plain["document"].encode()).hex()},
        "signed with another purpose's tag": {
            **plain, "signature": KEY.sign(tagged(intents.APPROVAL_TAG, plain["document"].encode())).hex()
        },
        "another key's signature": {
            **plain, "signature": Ed25519PrivateKey.from_private_bytes(bytes(32)).sign(
                bytes.fromhex(plain["signing_input"])
            ).hex()
        },
    }  # fmt: skip
    return {
        "about": "Signed intents of Holdfast: docs/reference/intents.md. The key is RFC 8032's first test key.",
        "private_key": KEY.private_bytes_raw().hex(),
        "public_key": KEY.public_key().public_bytes_raw().hex(),
        "domain_tag": intents.INTENT_TAG.hex(),
        "good": good,
        "forged": [
            {"name": name, "document": one["document"], "signature": one["signature"], "code": "intent-unsigned"}
            for name, one in forged.items()
        ],
        "bad": [
            {"name": name, "document": document, "code": outcome(document)}
            for name, document in bad_documents().items()
        ],
    }  # fmt: skip


if __name__ == "__main__":
    PATH.write_bytes(msgspec.json.format(msgspec.json.encode(vectors())) + b"\n")
