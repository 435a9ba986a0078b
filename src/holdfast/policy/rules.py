"""Every reason why a payout is not signed, in the order in which they are looked at: the second of the five stops.

The ladder in `decide`, the reference page and the tests have this same order. A rule is final (a tombstone: this payout
will never be signed) or it waits: the payout is looked at again until its intent expires.
"""

from __future__ import annotations

from enum import StrEnum


class Rule(StrEnum):
    """Why not."""

    # verify
    INTENT_MALFORMED = "intent-malformed"
    """The document is no payout, and no slot of a standing order."""
    INTENT_KIND_UNSUPPORTED = "intent-kind-unsupported"
    """Conversions are not executed yet."""
    INTENT_TOO_LONG_LIVED = "intent-too-long-lived"
    """It is valid for longer than the policy lets an intent wait."""
    MERCHANT_UNKNOWN = "merchant-unknown"
    """No certificate of this merchant was taken."""
    SIGNATURE_INVALID = "signature-invalid"
    """The key that counts for the merchant did not sign these bytes."""
    INTENT_EXPIRED = "intent-expired"
    """Its time is over. Order it anew."""
    NUMBER_REUSED = "number-reused"
    """The merchant has signed another intent with this number, or one far above it."""
    MERCHANT_FROZEN = "merchant-frozen"
    """A veto waits for its decision, or people froze the merchant."""
    CERTIFICATE_EXPIRED = "certificate-expired"
    """The merchant's certificate is over: officers must sign the next version."""
    INTENT_EARLY = "intent-early"
    """Its time has not come."""
    POLICY_EXPIRED = "policy-expired"
    """No policy is in force: officers must sign a new one."""
    NETWORK_UNLISTED = "network-unlisted"
    """A policy in force does not name the network, or no float lies there."""
    ASSET_UNLISTED = "asset-unlisted"
    """A policy in force has no limits for the asset."""
    DESTINATION_OURS = "destination-ours"
    """It pays to the float or the vault."""
    NETWORK_FROZEN = "network-frozen"
    """People froze the network, or everything, or the signer stopped it by itself."""
    ASSET_FROZEN = "asset-frozen"
    """People froze the asset."""
    STAGE_ALLOWLISTED = "stage-allowlisted"
    """Payouts are being restored: for now only to destinations that have long been on the policy's list."""
    APPROVALS_MISSING = "approvals-missing"
    """Too few officers have signed this very intent."""
    # entitle
    ENTITLEMENT_SHORT = "entitlement-short"
    """The merchant's final deposits, less what he ordered before, are less than this."""
    # limit
    PAYOUT_TOO_LARGE = "payout-too-large"
    """It is above the most that the float pays at once, or above a bucket's whole size: sign it anew for the quorum to
    pay it out of the vault (direct payout)."""
    LIMIT_NEW_DESTINATIONS = "limit-new-destinations"
    """What may go to destinations that are new is used up for now."""
    LIMIT_AGED_DESTINATIONS = "limit-aged-destinations"
    """What may go to destinations that were paid before is used up for now."""
    LIMIT_LISTED_DESTINATIONS = "limit-listed-destinations"
    """What may go to destinations on the policy's list is used up for now."""
    LIMIT_MERCHANT = "limit-merchant"
    """The merchant's own limit is used up for now."""
    LIMIT_TOTAL = "limit-total"
    """The asset's limit is used up for now."""
    UNCONFIRMED_TOO_MUCH = "unconfirmed-too-much"
    """Too much is released and not final: it waits for blocks."""
    STAGE_LIMITED = "stage-limited"
    """Payouts are being restored: the part of the limits that is open is used up for now."""
    # build
    NETWORK_UNSEEN = "network-unseen"
    """The signer's own nodes do not answer, or do not agree."""
    LINES_IMPOSSIBLE = "lines-impossible"
    """A line is below what the network relays, or above what its transaction can carry."""
    FLOAT_SHORT = "float-short"
    """The float holds too little: it waits for a settlement."""
    FEE_RATE_TOO_HIGH = "fee-rate-too-high"
    """The network asks more than the policy pays: it waits for emptier blocks."""
    FEE_TOO_HIGH = "fee-too-high"
    """The transaction could cost more than the policy lets one cost."""
    LIMIT_FEES = "limit-fees"
    """The hour's and day's budget for fees is used."""

    @property
    def is_final(self) -> bool:
        """Whether the payout is over."""
        return self in _FINAL


_FINAL = frozenset(
    {
        Rule.INTENT_MALFORMED,
        Rule.INTENT_KIND_UNSUPPORTED,
        Rule.INTENT_TOO_LONG_LIVED,
        Rule.SIGNATURE_INVALID,
        Rule.INTENT_EXPIRED,
        Rule.NUMBER_REUSED,
        Rule.DESTINATION_OURS,
        Rule.PAYOUT_TOO_LARGE,
        Rule.LINES_IMPOSSIBLE,
    }
)
