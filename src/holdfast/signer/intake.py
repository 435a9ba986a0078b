"""Takes in what the platform brings: signed documents by their signatures, hints by a look at our own nodes.

What is wrong is left aside with a line in the log: it changes nothing and stops nobody else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial

from holdfast.core.errors import HoldfastError
from holdfast.core.journal import Body, Stopped
from holdfast.core.orders import OrderMalformed, Reanchor, SignedOrder, read_order
from holdfast.policy import admit
from holdfast.policy.document import Policy
from holdfast.policy.record import Record
from holdfast.signer.networks import Sight
from holdfast.signer.platform import Work

log = logging.getLogger("holdfast.signer")
Add = Callable[[Body], object]


def take_documents(work: Work, record: Record, now: int, add: Add) -> None:
    """Orders, policies, certificates, vetoes and recoveries that are valid and were not taken before."""
    for order in work.orders:
        _take("order", add, partial(_order, record, order, now))
    for policy in work.policies:
        _take("policy", add, partial(admit.policy, record, policy.document, policy.signatures, now))
    for one in work.certificates:
        _take("certificate", add, partial(admit.certificate, record, one.document, one.signatures, now))
    for veto in work.vetoes:
        _take("veto", add, partial(admit.veto, record, veto, now))
    for recovery in work.recoveries:
        _take("recovery", add, partial(admit.recovery, record, recovery, now))


def _order(record: Record, order: SignedOrder, now: int) -> Body | None:
    """As `admit.order`; but no re-anchoring comes from here: who runs the platform could choose the moment."""
    if isinstance(read_order(order.document.encode()), Reanchor):
        raise OrderMalformed("a journal is re-anchored by hand: `holdfast signer re-anchor`")
    return admit.order(record, order, now)


def _take(what: str, add: Add, admitted: Callable[[], Body | None]) -> None:
    try:
        body = admitted()
    except HoldfastError as error:
        log.warning("a %s was not taken: %s", what, error)
        return
    if body is not None:
        add(body)


async def take_hints(work: Work, record: Record, sight: Sight, policies: Sequence[Policy], add: Add) -> None:
    """Deposits, money to the float, and our own transactions, where they are really there and final by the policy.

    Raises what the nodes raise: then nothing of this network is signed in this round.
    """
    name = sight.network.id
    confirmations = max(policy.networks[name].confirmations for policy in policies)
    deposits = [hint for hint in work.deposits if hint.network == name]
    fundings = [hint.height for hint in work.fundings if hint.network == name]
    mined = [hint for hint in work.mined if _network_of(record, hint.reservation) == name]
    for body in await sight.mined(record, mined, confirmations):
        add(body)
    for body in await sight.fundings(record, fundings, confirmations):
        add(body)
    for body in await sight.deposits(record, deposits, confirmations):
        add(body)


async def watch_float(record: Record, sight: Sight, add: Add) -> None:
    """Take back deposits and fundings whose blocks are gone; stop the network where somebody else spends the float."""
    name = sight.network.id
    # A coin that left the chain with its block was spent by nobody, so what is gone is taken back first.
    for body in await sight.undone(record):
        add(body)
    found = await sight.unexplained(record)
    if found and not record.is_stopped(name):
        log.critical("%s: the float was spent by somebody else: %s", name, "; ".join(found))
        add(Stopped(name, f"unexplained spend: {'; '.join(found)}"[:400]))


def _network_of(record: Record, reservation: int) -> str:
    one = record.reservations.get(reservation)
    return "" if one is None else one.body.network
