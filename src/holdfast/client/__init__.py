"""What a merchant installs: verify every address, watch invoices, trust nobody."""

from holdfast.client.clients import AsyncHoldfast, Holdfast, Pin
from holdfast.client.exchanges import NewInvoice
from holdfast.client.failures import (
    AddressNotOurs,
    CertificateNotOurs,
    CertificateRolledBack,
    NotPinned,
    PlatformAnswerMalformed,
    PlatformRefused,
    PlatformUnreachable,
    WebhookForged,
    WebhookStale,
)
from holdfast.client.messages import (
    Balance,
    Balances,
    Deposit,
    DepositAddress,
    Event,
    Invoice,
    ListedAsset,
    ListedNetwork,
    Page,
    Price,
    Quote,
)
from holdfast.client.webhooks import verify_webhook

__all__ = [
    "AddressNotOurs", "AsyncHoldfast", "Balance", "Balances", "CertificateNotOurs", "CertificateRolledBack", "Deposit",
    "DepositAddress", "Event", "Holdfast", "Invoice", "ListedAsset", "ListedNetwork", "NewInvoice", "NotPinned", "Page",
    "Pin", "PlatformAnswerMalformed", "PlatformRefused", "PlatformUnreachable", "Price", "Quote", "WebhookForged",
    "WebhookStale", "verify_webhook",
]  # fmt: skip
