"""A spend of the vault on EVM networks: one Safe transaction (1.4.1, EIP-712), signed by officers, sent by anybody.

It may be one of two things, a payment in the network's coin or one ERC-20 `transfer`. Everything else that a Safe can
do (a delegate call, a refund of gas out of the vault, an allowance, a change of owners) is refused by name here, before
its hash is even shown.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec
from coincurve import PrivateKey, PublicKey

from holdfast.chains.evm_contracts import COIN, TRANSFER_SELECTOR, encode_bytes, selector, transfer_call, word
from holdfast.core.canonical import Json, canonical
from holdfast.core.errors import BadInput, Conflict
from holdfast.core.evm import VaultPlan, address_bytes, checksum, keccak256, parse_address
from holdfast.vault.checks import Check, Digest, refuse_unless_checked
from holdfast.vault.officers import OfficerSecret, evm_key

DOCUMENT_BYTES_MAX = 20_000
_DOMAIN_TYPE = keccak256(b"EIP712Domain(uint256 chainId,address verifyingContract)")
_SAFE_TX_TYPE = keccak256(
    b"SafeTx(address to,uint256 value,bytes data,uint8 operation,uint256 safeTxGas,uint256 baseGas,"
    b"uint256 gasPrice,address gasToken,address refundReceiver,uint256 nonce)"
)
_EXEC_SELECTOR = selector("execTransaction(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,bytes)")
_TRANSFER_BYTES = 4 + 32 + 32
_SIGNATURE_BYTES = 65
_UINT256_MAX = 2**256 - 1
_NUMBER = re.compile(r"0|[1-9][0-9]{0,77}", re.ASCII)
_DATA = re.compile(r"0x(?:[0-9a-f]{2})*", re.ASCII)


class SafeDraftMalformed(BadInput):
    """The file is no draft of a Safe transaction, or a field of it cannot be read. Use the draft's own file."""

    code = "safe-draft-malformed"


class SafeDelegateCall(BadInput):
    """The transaction would run foreign code as the vault itself (operation 1). Sign nothing; report it."""

    code = "safe-delegate-call"


class SafeRefund(BadInput):
    """The transaction would pay gas back out of the vault, as much as its sender likes. Sign nothing; report it."""

    code = "safe-refund"


class SafeCallForbidden(BadInput):
    """The transaction calls something other than a token's `transfer`. Sign nothing; report it."""

    code = "safe-call-forbidden"


class SafePaymentPointless(BadInput):
    """The transaction pays nothing, or pays the vault, a token's contract or nobody. Have a new draft made."""

    code = "safe-payment-pointless"


class SafeDraftsDiffer(Conflict):
    """The files sign different transactions. Combine only files that come from one draft."""

    code = "safe-drafts-differ"


class SafeSignatureInvalid(BadInput):
    """A signature in the file is not by an owner of this Safe over this transaction. Have that officer sign again."""

    code = "safe-signature-invalid"


class SafeSignaturesMissing(Conflict):
    """Too few owners of the Safe have signed. Have more officers sign the draft, then combine again."""

    code = "safe-signatures-missing"


class SafeTransaction(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Every field of a Safe transaction, named as the Safe's own tools name them; amounts are decimal texts."""

    chain_id: int
    safe: str
    to: str
    value: str
    data: str
    operation: int
    safe_tx_gas: str
    base_gas: str
    gas_price: str
    gas_token: str
    refund_receiver: str
    nonce: int

    def digest(self) -> Digest:
        """The Safe transaction hash (EIP-712), which owners sign and devices show. Raises `SafeDraftMalformed`."""
        return Digest(self._hash().hex())

    def _hash(self) -> bytes:
        domain = keccak256(_DOMAIN_TYPE + word(self.chain_id) + _address_word(self.safe))
        numbers = [_number(one) for one in (self.safe_tx_gas, self.base_gas, self.gas_price)]
        message = keccak256(
            _SAFE_TX_TYPE
            + _address_word(self.to)
            + word(_number(self.value))
            + keccak256(_bytes(self.data))
            + word(self.operation)
            + b"".join(word(one) for one in numbers)
            + _address_word(self.gas_token)
            + _address_word(self.refund_receiver)
            + word(self.nonce)
        )
        return keccak256(b"\x19\x01" + domain + message)


@dataclass(frozen=True, slots=True)
class SafePayment:
    """What a Safe transaction pays: the only thing that the vault's ever do."""

    token: str
    """`COIN` for the network's own coin, else the token's contract."""
    to: str
    units: int


@dataclass(frozen=True, slots=True)
class SafeVault:
    """The Safe that a draft must be of, from the officers' own files."""

    chain_id: int
    address: str
    owners: tuple[str, ...]
    threshold: int


@dataclass(frozen=True, slots=True)
class SafeDraft:
    """A Safe transaction that is a payment, with the signatures that it has so far; every one of them is an owner's."""

    vault: SafeVault
    transaction: SafeTransaction
    signatures: tuple[tuple[str, bytes], ...]
    """(owner, r ‖ s ‖ v), sorted by owner as the Safe wants them."""

    @property
    def digest(self) -> Digest:
        """What the checking machine and the signing device both show."""
        return self.transaction.digest()

    @property
    def network(self) -> str:
        """Its CAIP-2 id."""
        return f"eip155:{self.vault.chain_id}"

    @property
    def payment(self) -> SafePayment:
        """What it pays."""
        return payment_of(self.transaction)


class _Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    owner: str
    signature: str


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    holdfast_safe: int
    transaction: SafeTransaction
    signatures: tuple[_Signature, ...]


def vault_of(chain_id: int, plan: VaultPlan) -> SafeVault:
    """The Safe of a plan, which follows from the owners alone, on one network."""
    return SafeVault(chain_id, plan.vault, plan.owners, plan.threshold)


def draft_of(vault: SafeVault, payment: SafePayment, nonce: int) -> SafeDraft:
    """The draft of a payment out of the Safe. Two drafts of one nonce exclude each other on chain.

    Raises `SafePaymentPointless`, and as `parse_address`.
    """
    is_coin = payment.token == COIN
    transaction = SafeTransaction(
        chain_id=vault.chain_id,
        safe=vault.address,
        to=parse_address(payment.to if is_coin else payment.token),
        value=str(payment.units if is_coin else 0),
        data="0x" if is_coin else "0x" + transfer_call(payment.to, payment.units).hex(),
        operation=0,
        safe_tx_gas="0",
        base_gas="0",
        gas_price="0",
        gas_token=COIN,
        refund_receiver=COIN,
        nonce=nonce,
    )
    return _checked(vault, transaction)


def payment_of(transaction: SafeTransaction) -> SafePayment:
    """What a transaction pays, once everything below holds.

    1. Operation 0, a plain call: `SafeDelegateCall`.
    2. All five gas and refund fields are zero: `SafeRefund`.
    3. No data at all, or exactly `transfer(address,uint256)` with no coin and no stray bytes: `SafeCallForbidden`.
    4. Something is paid, to somebody who is neither the Safe nor the token: `SafePaymentPointless`.
    """
    # 1
    if transaction.operation != 0:
        raise SafeDelegateCall(f"operation {transaction.operation}")
    # 2
    refund = (transaction.safe_tx_gas, transaction.base_gas, transaction.gas_price)
    if refund != ("0", "0", "0") or (transaction.gas_token, transaction.refund_receiver) != (COIN, COIN):
        raise SafeRefund(f"{', '.join(refund)}, {transaction.gas_token}, {transaction.refund_receiver}")
    # 3
    data, value, target = _bytes(transaction.data), _number(transaction.value), parse_address(transaction.to)
    if data:
        is_transfer = len(data) == _TRANSFER_BYTES and data[:4] == TRANSFER_SELECTOR and not any(data[4:16])
        if not is_transfer or value:
            raise SafeCallForbidden(f"0x{data[:4].hex()}, {len(data)} bytes, with {value} wei")
        payment = SafePayment(target, checksum(data[16:36]), int.from_bytes(data[36:], "big"))
    else:
        payment = SafePayment(COIN, target, value)
    # 4
    if not payment.units or payment.to in (COIN, transaction.safe, payment.token) or payment.token == transaction.safe:
        raise SafePaymentPointless(f"{payment.units} of {payment.token} to {payment.to}")
    return payment


def write(draft: SafeDraft) -> bytes:
    """The draft as a file: canonical JSON."""
    transaction: dict[str, Json] = msgspec.to_builtins(draft.transaction)
    signatures = [{"owner": owner, "signature": "0x" + one.hex()} for owner, one in draft.signatures]
    return canonical({"holdfast_safe": 1, "signatures": signatures, "transaction": transaction})


def read(data: bytes, vault: SafeVault) -> SafeDraft:
    """The draft in a file, if it is a payment of this Safe with valid signatures.

    Raises `SafeDraftMalformed`, `SafeSignatureInvalid`, and as `payment_of`.
    """
    if len(data) > DOCUMENT_BYTES_MAX:
        raise SafeDraftMalformed(f"{len(data)} bytes")
    try:
        document = msgspec.json.decode(data, type=_Document)
    except msgspec.DecodeError as error:
        raise SafeDraftMalformed(str(error)[:160]) from None
    draft = _checked(vault, document.transaction)
    for one in document.signatures:
        draft = with_signature(draft, _bytes(one.signature))
    if document.holdfast_safe != 1 or write(draft) != data.strip():
        raise SafeDraftMalformed("it is not in canonical form")
    return draft


def with_signature(draft: SafeDraft, signature: bytes) -> SafeDraft:
    """The draft with one more signature (r ‖ s ‖ v, 27 or 28), wherever it was made. Raises `SafeSignatureInvalid`."""
    owner = _signer(draft.transaction, signature)
    if owner not in draft.vault.owners:
        raise SafeSignatureInvalid(f"{owner} is no owner of {draft.vault.address}")
    signatures = {**dict(draft.signatures), owner: signature}
    return replace(draft, signatures=tuple(sorted(signatures.items(), key=lambda one: address_bytes(one[0]))))


def sign(draft: SafeDraft, secret: OfficerSecret, check: Check) -> SafeDraft:
    """The draft with one officer's signature on what was checked and shown to him (RFC 6979, low s).

    Raises `NotChecked`, `SafeSignatureInvalid` for an officer who owns no share of this Safe, `CurveLibraryMissing`,
    and as `payment_of`: however the draft came about.
    """
    refuse_unless_checked(check, draft.network, draft.digest)
    payment_of(draft.transaction)
    made = PrivateKey(evm_key(secret)).sign_recoverable(bytes.fromhex(draft.digest), hasher=None)
    return with_signature(draft, made[:64] + bytes([27 + made[64]]))


def combine(drafts: Sequence[SafeDraft]) -> SafeDraft:
    """One draft with all signatures of several. Raises `SafeDraftsDiffer`."""
    first, *others = drafts
    for other in others:
        if (other.vault, other.digest) != (first.vault, first.digest):
            raise SafeDraftsDiffer(f"{first.digest} and {other.digest}")
        for _, signature in other.signatures:
            first = with_signature(first, signature)
    return first


def finalise(draft: SafeDraft) -> bytes:
    """Call data for the Safe: `execTransaction` with as many signatures as it asks for, sorted by owner.

    Whoever sends it pays the gas and can change nothing. Raises `SafeSignaturesMissing`.
    """
    if len(draft.signatures) < draft.vault.threshold:
        raise SafeSignaturesMissing(f"{len(draft.signatures)} of {draft.vault.threshold}")
    signatures = b"".join(one for _, one in draft.signatures[: draft.vault.threshold])
    transaction = draft.transaction
    data = encode_bytes(_bytes(transaction.data))
    head = [
        _address_word(transaction.to), word(_number(transaction.value)), word(320), word(0), word(0), word(0), word(0),
        _address_word(COIN), _address_word(COIN), word(320 + len(data)),
    ]  # fmt: skip
    return _EXEC_SELECTOR + b"".join(head) + data + encode_bytes(signatures)


def _checked(vault: SafeVault, transaction: SafeTransaction) -> SafeDraft:
    if (transaction.chain_id, transaction.safe) != (vault.chain_id, vault.address):
        raise SafeDraftMalformed(f"it is for {transaction.safe} on chain {transaction.chain_id}, not for this vault")
    if not 0 <= transaction.nonce < 2**53:
        raise SafeDraftMalformed(f"nonce {transaction.nonce}")
    payment_of(transaction)
    if parse_address(transaction.to) != transaction.to:
        raise SafeDraftMalformed(f"{transaction.to} is not in EIP-55 form")
    return SafeDraft(vault, transaction, ())


def _signer(transaction: SafeTransaction, signature: bytes) -> str:
    if len(signature) != _SIGNATURE_BYTES or signature[64] not in (27, 28):
        raise SafeSignatureInvalid("it is not r, s and a v of 27 or 28")
    recoverable = signature[:64] + bytes([signature[64] - 27])
    try:
        point = PublicKey.from_signature_and_message(
            recoverable, bytes.fromhex(transaction.digest()), hasher=None
        ).format(compressed=False)
    except ValueError:
        raise SafeSignatureInvalid("no key made it") from None
    return checksum(keccak256(point[1:])[12:])


def _number(text: str) -> int:
    if _NUMBER.fullmatch(text) is None or int(text) > _UINT256_MAX:
        raise SafeDraftMalformed(f"{text[:80]!r} is not an amount")
    return int(text)


def _bytes(text: str) -> bytes:
    if _DATA.fullmatch(text) is None:
        raise SafeDraftMalformed(f"{text[:80]!r} is not data in hex")
    return bytes.fromhex(text[2:])


def _address_word(address: str) -> bytes:
    return address_bytes(address).rjust(32, b"\0")
