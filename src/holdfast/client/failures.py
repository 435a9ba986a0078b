"""What can go wrong between a shop and a platform that the shop does not trust."""

from __future__ import annotations

from holdfast.core.errors import BadInput, HoldfastError, Unavailable


class PlatformUnreachable(Unavailable):
    """The platform did not answer. Send the same request again: its idempotency key makes that safe."""

    code = "platform-unreachable"


class PlatformAnswerMalformed(Unavailable):
    """The platform's answer is not what its API says. Compare the versions of platform and SDK."""

    code = "platform-answer-malformed"
    retry = False


class PlatformRefused(HoldfastError):
    """The platform refused the request. Its own code and remedy are in the detail; look the code up."""

    code = "platform-refused"

    def __init__(self, status: int, refusal: str, detail: str, *, may_retry: bool) -> None:
        super().__init__(f"{refusal}: {detail}", status=status)
        self.status = status
        """HTTP status."""
        self.refusal = refusal
        """The platform's error code, e.g. `invoice-not-found`."""
        self.may_retry = may_retry
        """Whether the same request may succeed later."""


class NotPinned(BadInput):
    """The SDK was given no root fingerprint or no key of the merchant, so it cannot check addresses. Give it both."""

    code = "not-pinned"


class CertificateNotOurs(BadInput):
    """The certificate is validly signed, but for another merchant's key. Use no address; telephone the operator."""

    code = "certificate-not-ours"


class CertificateRolledBack(BadInput):
    """The platform shows an older certificate than before. Use no address; ask the officers why."""

    code = "certificate-rolled-back"


class AddressNotOurs(BadInput):
    """The platform gave out an address that is not the vault's for this merchant. Show it to nobody; raise alarm."""

    code = "address-not-ours"


class WebhookForged(BadInput):
    """The webhook is not signed with this endpoint's secret. Answer 400 and do nothing; check the configured secret."""

    code = "webhook-forged"


class WebhookStale(BadInput):
    """The webhook's timestamp is too far from now. Answer 400; set this machine's clock if it is always so."""

    code = "webhook-stale"
