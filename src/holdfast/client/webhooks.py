"""Checks webhooks: whoever does not have the endpoint's secret cannot make your shop believe in a payment.

Standard Webhooks: HMAC-SHA256 over `id.timestamp.payload`, several signatures while secrets are rotated.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from holdfast.client.failures import WebhookForged, WebhookStale
from holdfast.client.messages import Event

TOLERANCE = timedelta(minutes=5)


def verify_webhook(payload: bytes, headers: Mapping[str, str], secrets: Iterable[str], now: datetime) -> Event:
    """The event in a webhook, once it is known that the platform sent it.

    `payload`: the request's body, byte for byte. `headers`: any case. `secrets`: `whsec_…`, two during rotation.
    The same event may come more than once: its `id` is always the same. Raises `WebhookForged`, `WebhookStale`.
    """
    given = {name.lower(): value for name, value in headers.items()}
    message_id, stamp = given.get("webhook-id", ""), given.get("webhook-timestamp", "")
    if not message_id or not stamp.isascii() or not stamp.isdigit() or len(stamp) > 12:
        raise WebhookForged("a header is missing or malformed")
    signed = b".".join([message_id.encode(), stamp.encode(), payload])
    claimed = [part[3:] for part in given.get("webhook-signature", "").split() if part.startswith("v1,")]
    right = [_signature(secret, signed) for secret in secrets]
    if not any(hmac.compare_digest(one.encode(), other.encode()) for one in claimed for other in right):
        raise WebhookForged(message_id)
    if abs(now - datetime.fromtimestamp(int(stamp), UTC)) > TOLERANCE:
        raise WebhookStale(message_id)
    try:
        return msgspec.json.decode(payload, type=Event)
    except msgspec.DecodeError as error:
        raise WebhookForged(f"{message_id}: {error}") from None


def _signature(secret: str, signed: bytes) -> str:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise WebhookForged("the configured secret is not a `whsec_…`") from None
    return base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
