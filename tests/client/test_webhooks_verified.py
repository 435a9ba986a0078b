"""A shop believes a webhook only if it is signed with its secret, now."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks.webhooks import Webhook

from holdfast.client import WebhookForged, WebhookStale, verify_webhook

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SECRET, OTHER = "whsec_" + "QUJD" * 8, "whsec_" + "REVG" * 8
PAYLOAD = json.dumps(
    {
        "id": "evt_1",
        "type": "invoice.settled",
        "subject": "inv_1",
        "data": {"state": "settled"},
        "created_at": "2026-11-21T12:00:00Z",
    }
).encode()


def headers(secret: str = SECRET, payload: bytes = PAYLOAD, at: datetime = NOW, **changes: str) -> dict[str, str]:
    """Signed by the independent library of the Standard Webhooks project."""
    signature = Webhook(secret).sign("evt_1", at, payload.decode())
    return {
        "Webhook-Id": "evt_1",
        "Webhook-Timestamp": str(int(at.timestamp())),
        "Webhook-Signature": signature,
    } | changes


def test_a_webhook_that_the_platform_signed_is_the_event_in_it() -> None:
    event = verify_webhook(PAYLOAD, headers(), [SECRET], NOW)
    assert (event.id, event.type, event.subject) == ("evt_1", "invoice.settled", "inv_1")


def test_during_a_rotation_either_secret_will_do() -> None:
    for secret in (SECRET, OTHER):
        assert verify_webhook(PAYLOAD, headers(secret), [SECRET, OTHER], NOW)
    two = f"{headers(OTHER)['Webhook-Signature']} {headers()['Webhook-Signature']} v1a,ed25519"
    assert verify_webhook(PAYLOAD, headers() | {"Webhook-Signature": two}, [SECRET], NOW)


@pytest.mark.parametrize(
    "forged",
    [
        headers(OTHER),
        headers(payload=b"{}"),
        headers() | {"Webhook-Id": "evt_2"},
        headers() | {"Webhook-Timestamp": str(int(NOW.timestamp()) + 1)},
        headers() | {"Webhook-Timestamp": "now"},
        headers() | {"Webhook-Timestamp": ""},
        headers() | {"Webhook-Signature": ""},
        headers() | {"Webhook-Signature": "v1,"},
        headers() | {"Webhook-Signature": headers()["Webhook-Signature"].replace("v1,", "v2,")},
        {},
    ],
)
def test_anything_else_is_forged(forged: dict[str, str]) -> None:
    with pytest.raises(WebhookForged):
        verify_webhook(PAYLOAD, forged, [SECRET], NOW)


@pytest.mark.parametrize("late", [timedelta(minutes=6), -timedelta(minutes=6)])
def test_a_recorded_webhook_cannot_be_played_again_later(late: timedelta) -> None:
    with pytest.raises(WebhookStale):
        verify_webhook(PAYLOAD, headers(at=NOW - late), [SECRET], NOW)


def test_without_a_secret_nothing_is_believed() -> None:
    with pytest.raises(WebhookForged):
        verify_webhook(PAYLOAD, headers(), [], NOW)
    with pytest.raises(WebhookForged):
        verify_webhook(PAYLOAD, headers(), ["not base64!"], NOW)


def test_a_signed_body_that_is_no_event_is_not_one() -> None:
    with pytest.raises(WebhookForged):
        verify_webhook(b"[]", headers(payload=b"[]"), [SECRET], NOW)
