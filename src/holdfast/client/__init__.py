"""What a merchant installs: verify every address, watch invoices, order payouts, trust nobody."""

from holdfast.client.clients import AsyncHoldfast, Holdfast, Pin, merchant_signer
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
from holdfast.client.keys import MerchantKey
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
    Payout,
    PayoutLine,
    Price,
    Quote,
    StandingOrder,
)
from holdfast.client.payout_lists import PayoutListRefused
from holdfast.client.payouts import NoMerchantKey
from holdfast.client.signing import (
    DecimalsUnknown,
    FeeTooHigh,
    IntentSigner,
    NewStandingOrder,
    PayoutOrder,
    PayTo,
    ReferenceUsed,
)
from holdfast.client.webhooks import verify_webhook

__all__ = [
    "AddressNotOurs", "AsyncHoldfast", "Balance", "Balances", "CertificateNotOurs", "CertificateRolledBack",
    "DecimalsUnknown", "Deposit", "DepositAddress", "Event", "FeeTooHigh", "Holdfast", "IntentSigner", "Invoice",
    "ListedAsset", "ListedNetwork", "MerchantKey", "NewInvoice", "NewStandingOrder", "NoMerchantKey", "NotPinned",
    "Page", "PayTo", "Payout", "PayoutLine", "PayoutListRefused", "PayoutOrder", "Pin", "PlatformAnswerMalformed",
    "PlatformRefused", "PlatformUnreachable", "Price", "Quote", "ReferenceUsed", "StandingOrder", "WebhookForged",
    "WebhookStale", "merchant_signer", "verify_webhook",
]  # fmt: skip
