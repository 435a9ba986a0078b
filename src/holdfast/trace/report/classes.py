"""What can be done about an end: its class, who is to be asked for what, and until when. Pure.

Deadlines are counted from the report's date. Each says why it is that long: none is law of every country.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from holdfast.trace.model import End, EndKind, LabelKind
from holdfast.trace.report.statement import Frozen

HOUR = 3_600
DAY = 24 * HOUR


class Class(StrEnum):
    """Where money that was stolen can be, by what can be done about it; the most urgent first."""

    FREEZABLE = "freezable now"
    DEPOSIT = "exchange deposit"
    SWAPPER = "swap service"
    FROZEN = "frozen"
    BRIDGE = "bridge"
    MIXER = "mixer"
    SERVICE = "other service"
    DORMANT = "dormant"
    OPEN = "not followed further"


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who can freeze a token, by its contract."""

    name: str
    symbol: str


ISSUERS = {
    # Contracts as the issuers publish them (tether.to/en/supported-protocols, developers.circle.com), CAIP-19.
    "eip155:1/erc20:0xdac17f958d2ee523a2206206994597c13d831ec7": Issuer("Tether", "USDT"),
    "eip155:43114/erc20:0x9702230a8ea53601f5cd2dc00fdbc13d4df4a8c7": Issuer("Tether", "USDT"),
    "tron:0x2b6653dc/trc20:TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t": Issuer("Tether", "USDT"),
    "eip155:1/erc20:0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48": Issuer("Circle", "USDC"),
    "eip155:8453/erc20:0x833589fcd6edb6e08f4c7c32d4f71b54bda02913": Issuer("Circle", "USDC"),
    "eip155:42161/erc20:0xaf88d065e77c8cc2239327c5edb3a432268e5831": Issuer("Circle", "USDC"),
    "eip155:10/erc20:0x0b2c639c533813f4aa9d7837caf62653d097ff85": Issuer("Circle", "USDC"),
    "eip155:137/erc20:0x3c499c542cef5e3811e1192ce70d8cc03d5c3359": Issuer("Circle", "USDC"),
    "eip155:43114/erc20:0xb97ef9ef8734c71904d8002f8b6bc66dd9c48a6e": Issuer("Circle", "USDC"),
}


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked of whom."""

    what: str
    whom: str
    """Empty: nobody can be asked."""
    send_by: int = 0
    """Seconds since 1970; 0: no time is set."""
    answer_by: int = 0
    why: str = ""


def issuer_of(asset: str) -> Issuer | None:
    """Who can freeze this token; None: nobody that is known here."""
    chain, _, token = asset.partition("/")
    is_evm = chain.startswith("eip155:")
    return ISSUERS.get(f"{chain}/{token.lower()}" if is_evm else asset)


def class_of(end: End, frozen: tuple[Frozen, ...] = ()) -> Class:
    """What can be done about it."""
    if any((one.network, one.address, one.asset) == (end.network, end.address, end.asset) for one in frozen):
        return Class.FROZEN
    if end.kind is EndKind.SERVICE:
        return _SERVICES.get(end.label.kind if end.label else LabelKind.OTHER, Class.SERVICE)
    if end.kind is EndKind.UNSPENT:
        return Class.FREEZABLE if issuer_of(end.asset) else Class.DORMANT
    return Class.OPEN


_SERVICES = {
    LabelKind.EXCHANGE: Class.DEPOSIT, LabelKind.DEPOSIT: Class.DEPOSIT, LabelKind.PAYMENT: Class.DEPOSIT,
    LabelKind.GAMBLING: Class.DEPOSIT, LabelKind.SWAPPER: Class.SWAPPER, LabelKind.BRIDGE: Class.BRIDGE,
    LabelKind.MIXER: Class.MIXER,
}  # fmt: skip


def ask_of(end: End, kind: Class, now: int) -> Ask:  # noqa: C901  one answer a class
    """What is to be asked, of whom, by when."""
    name = end.label.name if end.label else ""
    issuer = issuer_of(end.asset)
    if kind is Class.FREEZABLE and issuer:
        return Ask(
            "freeze the address in the token's contract; confirm in writing", issuer.name, now + HOUR, now + DAY,
            "a thief moves on within minutes; issuers act on a police reference, which can follow",
        )  # fmt: skip
    if kind is Class.DEPOSIT:
        return Ask(
            "freeze what was credited for these deposits; keep the customer's file, log-ins and payouts", name,
            now + HOUR, now + DAY, "voluntary holds lapse, at many desks after 60 days: an order must be there by then",
        )  # fmt: skip
    if kind is Class.SWAPPER:
        return Ask(
            "name the asset, address and transaction that were paid out for these; keep the order's data", name,
            now + HOUR, now + DAY, "the trace goes on where the service paid out; its logs are kept for a short time",
        )  # fmt: skip
    if kind is Class.FROZEN:
        return Ask("keep it frozen; name the way to give it back", name or (issuer.name if issuer else ""), 0, 0,
                   "it stands as long as an order does")  # fmt: skip
    if kind is Class.BRIDGE:
        return Ask("name the network, address and transaction at which it came out", name, now + DAY, now + 3 * DAY,
                   "the other side is public: it can be followed once it is named")  # fmt: skip
    if kind is Class.MIXER:
        return Ask("nothing: it can only be watched for payouts that fit", "", 0, 0,
                   "what comes out is one of many: an anonymity set, no address")  # fmt: skip
    if kind is Class.SERVICE:
        return Ask("keep what is known of these transactions", name, now + DAY, now + 3 * DAY,
                   "many people's money mixes there: it alone can tell whose is whose")  # fmt: skip
    if kind is Class.DORMANT:
        return Ask("watch the address; warn exchanges of it", "", 0, 0, "nobody can freeze this asset")
    return Ask("follow it on", "", 0, 0, "the trace ended at a limit of the method, not at an owner")


ORDER_DAYS = 60
"""How long desks hold voluntarily, as those say that publish it: by then an authority's order must be there."""

MEANINGS = {
    Class.FREEZABLE: "lies at an address as a token that its issuer can freeze",
    Class.DEPOSIT: "came to an exchange or payment company, which knows its customer",
    Class.SWAPPER: "came to a custodial swap service, which paid out another asset from its own stock",
    Class.FROZEN: "somebody says that he froze it",
    Class.BRIDGE: "went into a bridge whose other side is not decoded",
    Class.MIXER: "went into a mixer",
    Class.SERVICE: "went into a service of another kind",
    Class.DORMANT: "lies unspent where nobody can freeze it",
    Class.OPEN: "was not followed further: too small, too late, unreadable, or a person's decision",
}

CREDIBILITY = (
    (80, 1, "confirmed by other sources"), (60, 2, "probably true"), (40, 3, "possibly true"),
    (20, 4, "doubtful"), (0, 5, "improbable"),
)  # fmt: skip
"""From which confidence on: the scale of STIX 2.1, appendix A, for Admiralty credibility."""

RELIABILITY = {
    "A": "completely reliable: raw replies of two nodes or more show it",
    "B": "usually reliable: the raw reply of one node shows it",
    "C": "fairly reliable: an explorer shows it",
    "D": "not usually reliable: a list that names no source of its own",
    "E": "unreliable: a source that was found wrong before",
    "F": "cannot be judged: a file that somebody handed over",
}


def credibility(confidence: int) -> int:
    """Admiralty's 1 to 5 of a confidence between 0 and 100."""
    return next(grade for least, grade, _ in CREDIBILITY if confidence >= least)
