"""A vault spend as a PSBT (BIP 174): written in one way only, read by writing it again, signed, combined, finalised.

What is read is never what is signed. From a PSBT come the outpoints, amounts, indexes and outputs; from the officers'
own descriptor comes everything else, and unless that gives the same bytes again the PSBT is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from coincurve import PublicKey
from embit import ec, script
from embit.psbt import PSBT, DerivationPath, InputScope, OutputScope
from embit.transaction import SIGHASH, Transaction, TransactionInput, TransactionOutput

from holdfast.chains.bitcoin_scripts import address_of, script_of
from holdfast.core.descriptors import Branch, DescriptorKey, Place, VaultDescriptor
from holdfast.core.errors import BadInput, Conflict
from holdfast.core.networks import BitcoinNetwork, ScriptType
from holdfast.vault.checks import Check, Digest, refuse_unless_checked
from holdfast.vault.officers import OfficerSecret, wallet_root
from holdfast.vault.spends import (
    EMBIT_ERRORS,
    InputNotOurs,
    OutputNotOurs,
    VaultInput,
    VaultOutput,
    VaultSpend,
    checked,
)

SEQUENCE = 0xFFFFFFFD
"""Every input says that it may be replaced by one that pays a higher fee (BIP 125)."""
PSBT_BYTES_MAX = 2_000_000
_TAG = b"holdfast vault spend 1\0"
_HARDENED = 2**31
_ALL = bytes([SIGHASH.ALL])

Signatures = tuple[tuple[tuple[bytes, bytes], ...], ...]
"""For each input: (public key, signature with its hash type), sorted by key."""


class PsbtMalformed(BadInput):
    """The file is no PSBT of a vault spend as Holdfast writes it. Use the draft's own file; sign nothing else."""

    code = "psbt-malformed"


class SpendsDiffer(Conflict):
    """The files sign different spends. Combine only files that come from one draft."""

    code = "spends-differ"


class SignatureInvalid(BadInput):
    """A signature in the file does not fit this spend and this vault. Have that officer sign again; see his device."""

    code = "signature-invalid"


class SignaturesMissing(Conflict):
    """Too few officers have signed. Have more of them sign the draft, then combine again."""

    code = "signatures-missing"


class OfficerNotInVault(BadInput):
    """The keystore's key is none of this vault's. Take the right keystore, and the right officers' files."""

    code = "officer-not-in-vault"


@dataclass(frozen=True, slots=True)
class Draft:
    """A spend with the signatures that it has so far; every one of them is valid."""

    spend: VaultSpend
    signatures: Signatures

    @property
    def digest(self) -> Digest:
        """What the checking machine and the signing device both show: it stands for the PSBT without signatures."""
        unsigned = write(replace(self, signatures=((),) * len(self.spend.inputs)))
        return Digest(hashlib.sha256(_TAG + self.spend.network.id.encode() + b"\0" + unsigned).hexdigest())

    @property
    def signed_by(self) -> tuple[str, ...]:
        """Fingerprints of the officers' seeds that have signed every input."""
        fingerprints = []
        for key in self.spend.vault.keys:
            points = [key.point(spent.place) for spent in self.spend.inputs]
            if all(point in dict(has) for point, has in zip(points, self.signatures, strict=True)):
                fingerprints.append(key.fingerprint)
        return tuple(fingerprints)


@dataclass(frozen=True, slots=True)
class FinalTransaction:
    """A transaction that any node takes."""

    raw: bytes
    txid: str


def draft_of(spend: VaultSpend) -> Draft:
    """The draft of a new spend. Raises as `spends.checked`."""
    return Draft(checked(spend), ((),) * len(spend.inputs))


def write(draft: Draft) -> bytes:
    """The draft as a PSBT: with every officer's derivation path, as devices need it to know inputs and change."""
    psbt = _psbt(draft.spend)
    for scope, has in zip(psbt.inputs, draft.signatures, strict=True):
        for point, one in has:
            scope.partial_sigs[ec.PublicKey.parse(point)] = one
    return bytes(psbt.serialize())


def read(data: bytes, network: BitcoinNetwork, descriptor: str) -> Draft:
    """The draft in a PSBT that Holdfast wrote: every byte of it follows from the spend and the descriptor.

    Raises `PsbtMalformed`, `InputNotOurs`, `OutputNotOurs`, `SpendMalformed`, `SignatureInvalid`.
    """
    psbt = _parse(data)
    draft = with_signatures(draft_of(_spend(psbt, network, descriptor)), data)
    if write(draft) != data:
        raise PsbtMalformed("it says more, or says it in another way, than the spend itself")
    return draft


def with_signatures(draft: Draft, data: bytes) -> Draft:
    """The draft with the signatures that a device or another officer put into its PSBT; nothing else is taken.

    Raises `PsbtMalformed`, `SpendsDiffer`, `SignatureInvalid`.
    """
    psbt = _parse(data)
    if psbt.tx.serialize() != _unsigned(draft.spend).serialize():
        raise SpendsDiffer(psbt.tx.txid().hex())
    ours = _psbt(draft.spend)
    signatures = []
    for number, spent in enumerate(draft.spend.inputs):
        found = {bytes(point.sec()): bytes(one) for point, one in psbt.inputs[number].partial_sigs.items()}
        _check_signatures(found, draft.spend.vault.multisig(spent.place), _sighash(ours, number))
        signatures.append(tuple(sorted({**found, **dict(draft.signatures[number])}.items())))
    return replace(draft, signatures=tuple(signatures))


def sign(draft: Draft, secret: OfficerSecret, check: Check) -> Draft:
    """The draft with one officer's signature on every input, of what was checked and shown to him.

    Signed by embit's libsecp256k1 (RFC 6979, low s, low r) and verified by coincurve's, another build of it.
    Raises `NotChecked`, `OfficerNotInVault`, `CurveLibraryMissing`, and as `spends.checked`: however it came about.
    """
    refuse_unless_checked(check, draft.spend.network.id, draft.digest)
    checked(draft.spend)
    root = wallet_root(secret)
    key = _key_of(draft.spend.vault, root.my_fingerprint.hex())
    account = root.derive([*_path(key)])
    psbt = _psbt(draft.spend)
    signatures = []
    for number, spent in enumerate(draft.spend.inputs):
        point, private = key.point(spent.place), account.derive([spent.place.branch, spent.place.index]).key
        if private.sec() != point:
            raise OfficerNotInVault(f"{key.fingerprint} derives another key at {spent.place}")
        digest = _sighash(psbt, number)
        mine = {point: bytes(private.sign(digest).serialize()) + _ALL}
        _check_signatures(mine, draft.spend.vault.multisig(spent.place), digest)
        signatures.append(tuple(sorted({**dict(draft.signatures[number]), **mine}.items())))
    return replace(draft, signatures=tuple(signatures))


def combine(drafts: Sequence[Draft]) -> Draft:
    """One draft with all signatures of several. Raises `SpendsDiffer`."""
    first, *others = drafts
    for other in others:
        if other.digest != first.digest:
            raise SpendsDiffer(f"{first.digest} and {other.digest}")
    joined = [
        tuple(sorted({point: one for has in reversed(sets) for point, one in has}.items()))
        for sets in zip(*(draft.signatures for draft in drafts), strict=True)
    ]
    return replace(first, signatures=tuple(joined))


def finalise(draft: Draft) -> FinalTransaction:
    """The transaction to send, with exactly as many signatures as the script asks for. Raises `SignaturesMissing`."""
    final, vault = _unsigned(draft.spend), draft.spend.vault
    for number, spent in enumerate(draft.spend.inputs):
        has = dict(draft.signatures[number])
        if len(has) < vault.threshold:
            raise SignaturesMissing(f"input {number} has {len(has)} of {vault.threshold}: {', '.join(draft.signed_by)}")
        multisig = vault.multisig(spent.place)
        # In the order of the keys in the script, which are sorted (BIP 67).
        chosen = [has[point] for point in sorted(has)][: vault.threshold]
        if vault.script_type is ScriptType.WSH:
            final.vin[number].witness = script.Witness([b"", *chosen, multisig])
        else:
            pushes = b"".join(_push(one) for one in (*chosen, multisig))
            final.vin[number].script_sig = script.Script(b"\0" + pushes)
    return FinalTransaction(bytes(final.serialize()), final.txid().hex())


def _unsigned(spend: VaultSpend) -> Transaction:
    inputs = [TransactionInput(bytes.fromhex(one.txid), one.vout, sequence=SEQUENCE) for one in spend.inputs]
    outputs = [
        TransactionOutput(one.units, script.Script(script_of(spend.network, one.address))) for one in spend.outputs
    ]
    return Transaction(2, inputs, outputs, 0)


def _psbt(spend: VaultSpend) -> PSBT:
    psbt, vault = PSBT(_unsigned(spend)), spend.vault
    for scope, spent in zip(psbt.inputs, spend.inputs, strict=True):
        if spent.previous:
            scope.non_witness_utxo = Transaction.parse(spent.previous)
        if vault.script_type is ScriptType.WSH:
            address = vault.address(spent.place.index, spend.network, spent.place.branch)
            scope.witness_utxo = TransactionOutput(spent.units, script.Script(script_of(spend.network, address)))
        _place(scope, vault, spent.place)
    for scope, paid in zip(psbt.outputs, spend.outputs, strict=True):
        if paid.place is not None:
            _place(scope, vault, paid.place)
    return psbt


def _place(scope: InputScope | OutputScope, vault: VaultDescriptor, place: Place) -> None:
    """What a device needs to see that a script is the vault's."""
    multisig = script.Script(vault.multisig(place))
    if vault.script_type is ScriptType.WSH:
        scope.witness_script = multisig
    else:
        scope.redeem_script = multisig
    for key in sorted(vault.keys, key=lambda key: key.point(place)):
        steps = [*_path(key), int(place.branch), place.index]
        origin = DerivationPath(bytes.fromhex(key.fingerprint), steps)
        scope.bip32_derivations[ec.PublicKey.parse(key.point(place))] = origin


def _parse(data: bytes) -> PSBT:
    if len(data) > PSBT_BYTES_MAX:
        raise PsbtMalformed(f"{len(data)} bytes are more than {PSBT_BYTES_MAX}")
    try:
        psbt = PSBT.parse(data)
        if psbt.tx is None or psbt.version is not None:
            raise PsbtMalformed("it is not of version 0, with its transaction inside")
    except EMBIT_ERRORS as error:
        raise PsbtMalformed(f"{type(error).__name__}: {error}"[:120]) from None
    return psbt


def _spend(psbt: PSBT, network: BitcoinNetwork, descriptor: str) -> VaultSpend:
    vault, tx = VaultDescriptor.parse(descriptor), psbt.tx
    inputs = []
    for spent, scope in zip(tx.vin, psbt.inputs, strict=True):
        where = f"{spent.txid.hex()}:{spent.vout}"
        place = _claimed_place(scope, vault)
        if place is None:
            raise InputNotOurs(f"{where} names no index of the vault")
        try:
            made = scope.utxo
        except EMBIT_ERRORS:
            made = None
        if made is None:
            raise InputNotOurs(f"{where} does not say what it spends")
        if made.script_pubkey.data != script_of(network, vault.address(place.index, network, place.branch)):
            raise InputNotOurs(f"{where} is not the vault's at {place}")
        previous = b"" if scope.non_witness_utxo is None else bytes(scope.non_witness_utxo.serialize())
        inputs.append(VaultInput(spent.txid.hex(), spent.vout, place, made.value, previous))
    outputs = []
    for paid, scope in zip(tx.vout, psbt.outputs, strict=True):
        address, place = address_of(network, paid.script_pubkey.data), _claimed_place(scope, vault)
        if place is None and scope.bip32_derivations:
            raise OutputNotOurs(f"{address} comes with derivation paths of another wallet")
        outputs.append(VaultOutput(address, paid.value, place))
    return VaultSpend(network, descriptor, tuple(inputs), tuple(outputs))


def _claimed_place(scope: InputScope | OutputScope, vault: VaultDescriptor) -> Place | None:
    """Where in the vault a PSBT says that a script lies; whether it does is for the caller to derive."""
    for path in scope.bip32_derivations.values():
        steps: list[int] = path.derivation
        for key in vault.keys:
            is_his = path.fingerprint.hex() == key.fingerprint and steps[:-2] == _path(key)
            if is_his and len(steps) == len(_path(key)) + 2 and steps[-2] in (Branch.DEPOSIT, Branch.CHANGE):
                return Place(Branch(steps[-2]), steps[-1])
    return None


def _path(key: DescriptorKey) -> list[int]:
    """The steps from the officer's seed to his account."""
    steps = key.path.split("/") if key.path else []
    return [int(step.removesuffix("h")) + (_HARDENED if step.endswith("h") else 0) for step in steps]


def _key_of(vault: VaultDescriptor, fingerprint: str) -> DescriptorKey:
    for key in vault.keys:
        if key.fingerprint == fingerprint:
            return key
    raise OfficerNotInVault(fingerprint)


def _sighash(psbt: PSBT, number: int) -> bytes:
    return bytes(psbt.sighash(number, SIGHASH.ALL))


def _check_signatures(found: Mapping[bytes, bytes], multisig: bytes, digest: bytes) -> None:
    """Every one is by a key of the script, over everything (SIGHASH_ALL), and valid to coincurve's library too."""
    for point, one in found.items():
        if b"\x21" + point not in multisig or one[-1:] != _ALL:
            raise SignatureInvalid(f"of {point.hex()[:16]}…: not a key of this vault, or not over the whole spend")
        try:
            is_valid = PublicKey(point).verify(one[:-1], digest, hasher=None)
        except ValueError:
            is_valid = False
        if not is_valid:
            raise SignatureInvalid(f"of {point.hex()[:16]}…")


def _push(data: bytes) -> bytes:
    """A push as standard transactions have it: with the shortest opcode (BIP 62)."""
    if len(data) < 76:
        return bytes([len(data)]) + data
    return b"\x4c" + bytes([len(data)]) + data if len(data) < 256 else b"\x4d" + len(data).to_bytes(2, "little") + data
