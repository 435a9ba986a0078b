"""Signs what is sent by HTTP as Standard Webhooks has it, so that receivers can use the libraries that they have."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Sequence
from datetime import datetime


def signed_headers(message_id: str, payload: bytes, signing: Sequence[bytes], now: datetime) -> dict[str, str]:
    """The headers of Standard Webhooks: one signature for each secret, so that a shop can rotate without a gap."""
    stamp = str(int(now.timestamp()))
    signed = b".".join([message_id.encode(), stamp.encode(), payload])
    signatures = [base64.b64encode(hmac.digest(secret, signed, "sha256")).decode() for secret in signing]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": stamp,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
