"""Checks a foreign journal entry by entry: nothing in it counts because the signer wrote it. Pure.

Officers' documents by their signatures, payouts by the merchant's signature and his entitlement at that very point,
transactions by the lines that they pay. What only a chain can tell (deposits, what was mined) is left to the reader's
own nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import assert_never

from coincurve import PublicKey

from holdfast.core import journal as j
from holdfast.core.bitcoin import read_unsigned as read_bitcoin
from holdfast.core.errors import BadInput, HoldfastError
from holdfast.core.evm import keccak256
from holdfast.core.evm_float import pay_call, to_vault_call, token_of
from holdfast.core.evm_transactions import address_of, decode, read_unsigned as read_evm
from holdfast.core.journal import Entry, Head, StoredEntry, read_entries
from holdfast.core.networks import EvmNetwork, network_by_id
from holdfast.policy import admit
from holdfast.policy.decide import Moment, Proposal, Refused, decide, is_held_back
from holdfast.policy.people import Times
from holdfast.policy.record import GAS_PURPOSES, PAYOUT, Record


class EvidenceFalse(BadInput):
    """The journal holds an entry that does not follow from what people signed. Settle nothing; call the officers."""

    code = "evidence-false"


Strange = Callable[[Record, j.Reserved], str]


def replay(record: Record, stored: Iterable[StoredEntry], root_fingerprint: str, strange: Strange) -> list[Entry]:
    """Fold further entries into the record, each once it is found to be right. Raises `JournalBroken`, `EvidenceFalse`.

    `root_fingerprint`: of the quorum, obtained out of band. `strange`: what a reserved transaction pays that it must
    not, where that is told by scripts, which this room cannot read; empty: nothing.
    """
    entries = read_entries(Head(record.head.seq, record.head.hash), stored)
    judge(record, entries, root_fingerprint, strange)
    return entries


def judge(record: Record, entries: Iterable[Entry], root_fingerprint: str, strange: Strange) -> None:
    """As `replay`, for entries that `read_entries` has read after the record's head. Raises `EvidenceFalse`."""
    for entry in entries:
        _require(entry.seq == record.head.seq + 1, entry, "it does not follow")
        try:
            _check(record, entry, root_fingerprint)
            if isinstance(entry.body, j.Reserved):
                _require(not (told := strange(record, entry.body)), entry, told)
        except EvidenceFalse:
            raise
        except (HoldfastError, KeyError, ValueError) as error:
            raise EvidenceFalse(f"entry {entry.seq}: {type(error).__name__} {str(error)[:160]}") from None
        record.apply(entry)


def _check(record: Record, entry: Entry, root_fingerprint: str) -> None:  # noqa: C901, PLR0915  a branch a kind of entry
    body = entry.body
    if (entry.seq == 1) != (record.quorum is None):
        raise EvidenceFalse("the journal does not begin with one genesis order")
    match body:
        case j.Ordered() | j.PolicyTaken() | j.CertificateTaken() | j.VetoTaken() | j.RecoveryTaken():
            _require(_admitted(record, body, root_fingerprint) == body, entry, "it was taken twice, or is not the same")
        case j.Deposit():
            _require((body.network, body.key) not in record.deposits, entry, "a deposit counts once")
            _require(_is_granted(record, body), entry, "no certificate grants its index, or the tariff is another")
        case j.Funding():
            _require((body.network, body.key) not in record.fundings, entry, "a funding counts once")
        case j.FundingGone():
            _require((body.network, body.key) in record.fundings, entry, "a funding that never was cannot go")
        case j.Accepted():
            _require(not record.is_known(body.payout), entry, "a payout counts once")
            proposal = Proposal(body.intent, body.approvals, body.slot, body.slot_units)
            decision = decide(proposal, record, Moment(Times(body.at, body.at)))
            if isinstance(decision, Refused) or proposal.payout != body.payout:
                raise EvidenceFalse(f"entry {entry.seq}: {body.payout[:80]} should have been refused: {decision}")
        case j.Reserved():
            _check_reserved(record, entry, body)
        case j.Signed():
            reservation = record.reservations[body.reservation]
            _require(reservation.signed is None, entry, "a reservation is signed once")
            seconds = entry.written_at // 1000  # a false one moves no listing that the quorum did not sign
            payouts = [record.payouts[one].payout for one in reservation.body.payouts]
            is_held = any(is_held_back(record, one, Times(seconds, seconds)) for one in payouts)
            _require(not is_held, entry, "it pays beyond the allow-list while payouts are being restored")
            _check_signed(record, entry, body, reservation.body)
        case j.Mined():
            signed = record.reservations[body.reservation].signed
            is_ours = signed is not None and signed.transaction == body.transaction
            _require(
                is_ours and record.reservations[body.reservation].mined is None, entry, "it was not signed, or twice"
            )
        case j.Abandoned():
            _require(body.payout in record.unreserved, entry, "what may be signed is not abandoned")
        case j.Clock():
            _require(body.refill_seconds >= record.refill_seconds(body.network), entry, "time ran backwards")
        case j.Started() | j.DepositGone() | j.Refused() | j.Stopped():
            pass  # they only ever take away
        case _ as never:
            assert_never(never)


Taken = j.Ordered | j.PolicyTaken | j.CertificateTaken | j.VetoTaken | j.RecoveryTaken


def _admitted(record: Record, body: Taken, root_fingerprint: str) -> Taken | None:
    match body:
        case j.Ordered() if record.quorum is None:
            return admit.genesis(body.order, root_fingerprint, body.at)
        case j.Ordered():
            return admit.order(record, body.order, body.at)
        case j.PolicyTaken():
            return admit.policy(record, body.document, body.signatures, body.at)
        case j.CertificateTaken():
            return admit.certificate(record, body.document, body.signatures, body.at)
        case j.VetoTaken():
            return admit.veto(record, body.veto, body.at)
        case j.RecoveryTaken():
            return admit.recovery(record, body.recovery, body.at)
        case _ as never:
            assert_never(never)


def _is_granted(record: Record, body: j.Deposit) -> bool:
    person = record.merchants.get(body.merchant)
    newest = person.newest if person is not None else None
    if newest is None or body.tariff_units != body.units * newest.tariff.deposit_basis_points // 10_000:
        return False
    return any(grant.network == body.network and grant.has(body.index) for grant in newest.networks)


def _check_reserved(record: Record, entry: Entry, body: j.Reserved) -> None:
    payouts = [record.payouts[payout] for payout in body.payouts]
    _require(body.purpose != PAYOUT or bool(payouts), entry, "it pays nobody")
    if body.replaces is None:
        _require(
            all(payout in record.unreserved for payout in body.payouts), entry, "a payout is paid by one transaction"
        )
    else:
        old = record.reservations[body.replaces].body
        same = (old.payouts, old.nonce, old.out_units, old.account) == (
            body.payouts,
            body.nonce,
            body.out_units,
            body.account,
        )
        _require(same and set(old.inputs) <= set(body.inputs), entry, "a replacement pays the same from the same")
    if body.purpose in GAS_PURPOSES:
        call, key = read_evm(bytes.fromhex(body.transaction)), bytes.fromhex(record.floats[body.network].public_key)
        _require(call.value == 0 or call.to == address_of(PublicKey(key)), entry, "gas goes to a stranger")
        return
    lines = [(line.destination, line.units) for payout in payouts for line in payout.payout.lines]
    _require(body.purpose != PAYOUT or sum(units for _, units in lines) == body.out_units, entry, "it pays another sum")
    if isinstance(network_by_id(body.network), EvmNetwork):
        transaction = read_evm(bytes.fromhex(body.transaction))
        token = token_of(body.asset)
        data = pay_call(token, lines) if body.purpose == PAYOUT else to_vault_call(token, body.out_units)
        _require(transaction.data == data, entry, "it pays other lines, or another asset")
        _require(transaction.to == body.account and transaction.value == 0, entry, "it is no call of the float")
        return
    outputs = sorted(output.units for output in read_bitcoin(bytes.fromhex(body.transaction)).outputs)
    change = [body.change_units] if body.change_index is not None else []
    if body.purpose == PAYOUT:
        _require(outputs == sorted([*(units for _, units in lines), *change]), entry, "it pays other amounts")


def _check_signed(record: Record, entry: Entry, body: j.Signed, reserved: j.Reserved) -> None:
    if not isinstance(network_by_id(reserved.network), EvmNetwork):
        return  # the officers' own node finds its outputs in the block
    transaction, _ = decode(raw := bytes.fromhex(body.raw))
    _require("0x" + keccak256(raw).hex() == body.transaction, entry, "it calls itself another transaction")
    _require(transaction == read_evm(bytes.fromhex(reserved.transaction)), entry, "other bytes were signed")


def _require(is_so: bool, entry: Entry, otherwise: str) -> None:  # noqa: FBT001  reads as a sentence
    if not is_so:
        raise EvidenceFalse(f"entry {entry.seq}: {otherwise}")
