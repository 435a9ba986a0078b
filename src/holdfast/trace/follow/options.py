"""How far a theft is followed, and what a person decided otherwise. Pure values, kept in the case."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from holdfast.trace.taint import Policy

HOUR = 3600


class Worth(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rate, as integers: so many units of an asset are worth so many cents (US)."""

    units: int
    cents: int


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The limits of one trace. There is no hop cap: value and time are what ends it."""

    until: int = 0
    """Later transfers are not followed (seconds since 1970); 0: all that is stored."""
    least: dict[str, int] = {}
    """By asset (CAIP-19): a move that carries fewer units is not followed."""
    least_parts_per_million: int = 1
    """For assets without a limit of their own: of what was stolen, or came out of a swap or bridge, of that asset. A
    millionth of a theft of ten million is what it costs to send a token: nobody launders less on purpose."""
    by: tuple[Policy, ...] = (Policy.HAIRCUT, Policy.FIFO, Policy.MOST)
    """A transfer is followed where it carries the limit by one of these: expected, by law, or at the most possible.
    They keep amounts, so there are never more ways to follow than money. The others are told along the way."""
    past_unshown: bool = True
    """Follow also what a mostly stolen address sends beyond what is known to have come: no source shows everything.
    Such steps carry nothing of the theft by any policy but poison, and say so."""
    stop_at_services: bool = True
    """False: labelled services and busy addresses are followed like everybody (poison then reaches everybody)."""
    service_confidence: int = 50
    """A label that is less sure than this (percent) ends nothing: it is less likely than not."""
    service_strangers: int = 100
    """An address without a label is plainly a service where this many others, none of them paid by the theft, paid it
    sums above the limit: private people are not paid by a hundred strangers."""
    peel_gap_seconds: int = 7 * 24 * HOUR
    """A peel chain ends where its remainder rests longer."""
    peel_hops: int = 3
    """Fewer hops of the shape are no chain."""
    window_seconds: int = 6 * HOUR
    """How long after a deposit a custodial swapper's candidates are looked for."""
    bridge_window_seconds: int = 3 * 24 * HOUR
    """How long after a deposit the other side of a bridge is looked for."""
    mixer_window_seconds: int = 30 * 24 * HOUR
    """How long after a deposit a mixer's withdrawals are its candidates."""
    fee_parts_per_million: int = 50_000
    """The most that a custodial swapper keeps: candidates are worth this much less, at the most."""
    spread_parts_per_million: int = 10_000
    """How much better than `worth` says a candidate may be."""
    candidates_most: int = 20
    """More candidates than this are counted and not listed."""
    worth: dict[str, Worth] = {}
    """By asset: what it was worth at the time. Without, candidates in another asset cannot be compared."""
    transfers_most: int = 2_000_000
    """Reading more transfers than this stops the trace where it stands, and says so."""


class Decision(StrEnum):
    """What a person decides about one transfer."""

    FOLLOW = "follow"
    """It is followed whatever the rules say: past a service, below a limit, or as the true one of the candidates."""
    LEAVE = "leave"
    """It is not followed: what it carried lies where it went."""


class Overrule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One transfer about which a person decided. Named by its step, or by where it stands."""

    decision: Decision
    by: str
    """Who."""
    at: int
    """When (seconds since 1970)."""
    why: str
    step: str = ""
    """`Step.id`: the same in every run."""
    network: str = ""
    transaction: str = ""
    order: int = -1
    """`Transfer.order`; -1: every transfer of the transaction."""
