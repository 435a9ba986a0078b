"""What somebody with some officers' keys writes: orders, policies, certificates and spends that need more than he has.

For scenarios only: it runs as the attacker, with the keys that the scenario gave him.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from coincurve import PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast.core import canonical
from holdfast.core.certificates import CERTIFICATE_TAG
from holdfast.core.orders import (
    CHECKS,
    ORDER_TAG,
    Decide,
    DirectPayout,
    FloatKey,
    Genesis,
    Migration,
    Order,
    Reanchor,
    Restore,
    RotateFloat,
    Stage,
)
from holdfast.core.quorum import tagged
from holdfast.policy.document import POLICY_TAG

Paper = tuple[str, str, list[dict[str, str]]]
"""Kind, document, signatures."""


def now() -> int:
    """Seconds since 1970 by the attacker's own machine."""
    return int(datetime.now(UTC).timestamp())  # noqa: TID251  the attacker's own machine


def signatures(
    tag: bytes, document: str, keys: Sequence[Ed25519PrivateKey], *, as_others: Sequence[str] = ()
) -> list[dict[str, str]]:
    """By each key under its own name, and by the first once more under each other officer's."""
    message = tagged(tag, document.encode())
    made = [{"officer": _name(key), "signature": key.sign(message).hex()} for key in keys]
    return made + [{"officer": other, "signature": keys[0].sign(message).hex()} for other in as_others]


def every_way(
    kind: str, tag: bytes, document: str, keys: Sequence[Ed25519PrivateKey], others: Sequence[str]
) -> list[Paper]:
    """A document with too few signatures: as they are, each twice, in others' names, with a made-up officer's."""
    stranger = Ed25519PrivateKey.from_private_bytes(secrets.token_bytes(32))
    honest = signatures(tag, document, keys)
    return [
        (kind, document, honest),
        (kind, document + " " if kind == "policy" else document, honest * 3),
        (kind, document, signatures(tag, document, keys, as_others=others)),
        (kind, document, signatures(tag, document, [*keys, stranger])),
    ]


def loosened(policy: str) -> list[str]:
    """Policies without limits to speak of: the next version, the same one, and one far ahead."""
    wide = re.sub(r'(burst|per_day|payout_max|unconfirmed_max|float_cap) = "[^"]*"', r'\1 = "900000"', policy)
    wide = re.sub(r"^(loosening|key_change|recovery|ageing)_seconds = \d+", r"\1_seconds = 0", wide, flags=re.MULTILINE)
    wide = re.sub(r"count = \d+", "count = 0", wide)
    found = int(re.findall(r"^version = (\d+)", policy, flags=re.MULTILINE)[0])
    return [
        re.sub(r"^version = \d+", f"version = {one}", wide, flags=re.MULTILINE) for one in (found + 1, found, 10**6)
    ]


def orders(facts: dict[str, Any]) -> list[str]:
    """Every kind of order, each the worst for whom it is about. `facts`: as the scenario gives them."""
    own = PublicKey.from_secret(bytes.fromhex(facts["own_key"])).format().hex()
    number, made = now() * 1_000, list[Order]()
    for network, thief in facts["thief_by_network"].items():
        made.append(RotateFloat(FloatKey(network, own, thief, thief), number := number + 1))
        made.append(Migration(network, thief, 1, number := number + 1))
    for scopes in (("*",), tuple(facts["thief_by_network"])):
        made += [Restore(scopes, stage, now(), number := number + 1, CHECKS)
                 for stage in (Stage.ALLOWLISTED, Stage.LIMITED, Stage.NORMAL)]  # fmt: skip
    made.append(Reanchor(1, "00" * 32, facts["own_lease_key"], number := number + 1))
    made.append(Decide(facts["merchant"], 1, number := number + 1))
    made.append(DirectPayout(facts["intent"], facts["intent_signature"], number := number + 1))
    quorum = json.dumps({"officers": [{"key": facts["own_officer"], "name": "me"}], "threshold": 1},
                        separators=(",", ":"), sort_keys=True)  # fmt: skip
    made.append(Genesis(quorum, facts["own_lease_key"], facts["own_lease_key"], (), now()))
    return [canonical.write(one).decode() for one in made]


def certificate_for(document: str, key: bytes) -> str:
    """The next version of a merchant's certificate, with another key in it."""
    read = json.loads(document)
    read |= {"key": key.hex(), "recovery_key": key[::-1].hex(), "version": read["version"] + 1}
    return json.dumps(read, separators=(",", ":"), sort_keys=True)


def all_papers(facts: dict[str, Any], keys: Sequence[Ed25519PrivateKey], others: Sequence[str]) -> list[Paper]:
    """Everything that officers sign, with too few signatures, in every way."""
    papers: list[Paper] = []
    for text in loosened(facts["policy"]):
        papers += every_way("policy", POLICY_TAG, text, keys, others)
    for text in orders(facts):
        papers += every_way("order", ORDER_TAG, text, keys, others)
    return papers


async def put_certificates(
    database: Any, keys: Sequence[Ed25519PrivateKey], others: Sequence[str], own: Ed25519PrivateKey
) -> int:
    """The merchants' certificates with his own key in them, where the signer fetches new ones; how many."""
    for name in ("certificates_merchant_id_fkey", "certificates_pkey"):
        await database.execute(f"ALTER TABLE payments.certificates DROP CONSTRAINT IF EXISTS {name}")
    cursor = await database.execute("SELECT merchant_id, document FROM payments.certificates WHERE journal_seq > 0")
    made = 0
    for merchant, document in await cursor.fetchall():
        text = certificate_for(bytes(document).decode(), own.public_key().public_bytes_raw())
        for _, same, given in every_way("certificate", CERTIFICATE_TAG, text, keys, others):
            await database.execute(
                "INSERT INTO payments.certificates (merchant_id, version, document, signatures, expires_at) "
                "VALUES (%s, 2, %s, %s, now() + interval '1 year')",
                [merchant, same.encode(), json.dumps(given)],
            )
            made += 1
    return made


def _name(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes_raw().hex()
