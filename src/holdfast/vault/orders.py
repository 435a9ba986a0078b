"""Officers' orders as they are made and read: every address in them is computed here, never typed in or taken over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import assert_never

import msgspec
from coincurve import PublicKey

from holdfast.chains.bitcoin_scripts import address_of
from holdfast.chains.evm_contracts import float_of, plan_vault
from holdfast.core import canonical
from holdfast.core.bitcoin import key_script
from holdfast.core.descriptors import Branch, VaultDescriptor
from holdfast.core.errors import BadInput
from holdfast.core.evm_transactions import address_of as evm_address
from holdfast.core.intents import Payout, read_intent
from holdfast.core.networks import BitcoinNetwork, EvmNetwork, Network, network_by_id
from holdfast.core.orders import (
    EVERYTHING,
    Decide,
    DirectPayout,
    FloatKey,
    Genesis,
    Migration,
    Order,
    Reanchor,
    Restore,
    RotateFloat,
    SignedOrder,
    Stage,
)
from holdfast.core.quorum import HEX_KEY, Quorum, read_quorum
from holdfast.vault.officers import OfficerPublic, descriptor_of

JOURNAL = "journal"
"""Under this name a signer's public keys have its journal key; float keys are under their networks' CAIP-2 ids."""


class FloatKeyMalformed(BadInput):
    """The signer's public keys are not what its `keys` command printed. Copy that file over unchanged."""

    code = "float-key-malformed"


class OfficersNotOfQuorum(BadInput):
    """The officers' public files are not those of the quorum document. Give the file of each officer in it."""

    code = "officers-not-of-quorum"


def float_key(network: Network, public_key: str, officers: Sequence[OfficerPublic], threshold: int) -> FloatKey:
    """The float of a signer's key on one network, and the place in these officers' vault that it may always pay to.

    Raises `FloatKeyMalformed`, `OfficersDiffer`, `VaultOwnersInvalid`.
    """
    try:
        key = PublicKey(bytes.fromhex(public_key))
    except ValueError:
        raise FloatKeyMalformed(public_key[:70]) from None
    point = key.format(compressed=True)
    if point.hex() != public_key:
        raise FloatKeyMalformed(public_key[:70])
    match network:
        case BitcoinNetwork():
            script = key_script(point, is_segwit=network.hrp is not None)
            descriptor = VaultDescriptor.parse(descriptor_of(network, officers, threshold))
            vault = descriptor.address(0, network, Branch.CHANGE)
            return FloatKey(network.id, public_key, address_of(network, script), vault)
        case EvmNetwork():
            safe = plan_vault([officer.evm_address for officer in officers], threshold).vault
            return FloatKey(network.id, public_key, float_of(evm_address(key), safe), safe)
        case _ as never:
            assert_never(never)


def genesis(
    quorum: Quorum, officers: Sequence[OfficerPublic], keys: Mapping[str, str], lease_key: str, at: int
) -> Genesis:
    """The order with which a journal begins, for a signer with these public keys and this watchtower's lease key.

    Raises `OfficersNotOfQuorum`, `FloatKeyMalformed`, `NetworkUnknown`.
    """
    if sorted((one.name, one.key) for one in officers) != sorted((one.name, one.key) for one in quorum.officers):
        raise OfficersNotOfQuorum(", ".join(one.name for one in officers))
    if not HEX_KEY.fullmatch(keys.get(JOURNAL, "")) or not HEX_KEY.fullmatch(lease_key):
        raise FloatKeyMalformed("journal key and lease key are Ed25519 public keys: 64 hex digits")
    # Names with a part behind the network's id are gas keys, or keys for floats to come.
    names = sorted(name for name in keys if name != JOURNAL and "/" not in name)
    floats = tuple(float_key(network_by_id(name), keys[name], officers, quorum.threshold) for name in names)
    return Genesis(quorum.document().decode(), keys[JOURNAL], lease_key, floats, at)


def read_public_keys(data: bytes) -> dict[str, str]:
    """A signer's public keys by name, as its `keys` command prints them. Raises `FloatKeyMalformed`."""
    try:
        return msgspec.json.decode(data, type=dict[str, str])
    except msgspec.DecodeError as error:
        raise FloatKeyMalformed(str(error)[:100]) from None


def unsigned(order: Order) -> SignedOrder:
    """An order that nobody has signed yet."""
    return SignedOrder(canonical.write(order).decode(), ())


def describe(order: Order) -> list[str]:
    """Every line that an officer reads before he signs."""
    match order:
        case Genesis():
            return _genesis(order)
        case RotateFloat():
            return ["The float of a network moves to a new key.", *_float(order.float), _number(order.number)]
        case Restore():
            return _restore(order)
        case Reanchor():
            return [
                "The journal goes on from here although the watchtower, or the journal, is a new one.",
                f"entry      {order.seq}, with hash",
                f"           {_grouped(order.head)}",
                f"lease key  {_grouped(order.lease_key)}",
                "Compare entry and hash with the signer's journal, the platform's mirror, the old watchtower's store:",
                "what was signed after it can be paid a second time.",
                _number(order.number),
            ]
        case DirectPayout():
            return [*_intent(order), _number(order.number)]
        case Migration():
            return [
                f"The vault on {order.network} moves, not before {_time(order.not_before)}. Everything in it goes to",
                f"           {order.address}",
                "Compare this address with the new vault's, on its own officers' machines.",
                _number(order.number),
            ]
        case Decide():
            return [f"Of merchant {order.merchant}, certificate version {order.version} counts.", _number(order.number)]
        case _ as never:
            assert_never(never)


_MEANING = {
    Stage.FROZEN: "Nothing is paid: this is no step. Sign nothing.",
    Stage.ALLOWLISTED: "From now on: payouts to destinations long on the policy's list, within divided limits.",
    Stage.LIMITED: "From now on: payouts to any destination, within divided limits.",
    Stage.NORMAL: "From now on: all that the policy allows.",
}


def _restore(order: Restore) -> list[str]:
    scopes = ["everything" if scope == EVERYTHING else scope for scope in order.scopes]
    ends = f"This ends what was frozen until {_time(order.at)}, and nothing that is frozen later."
    return [
        f"Payouts are restored to the stage {order.stage.value} in: {', '.join(scopes)}",
        _MEANING[order.stage],
        *([ends] if order.stage is Stage.ALLOWLISTED else []),
        "Whoever signs says that these were looked at: " + (", ".join(order.checked) or "nothing"),
        _number(order.number),
    ]


def _intent(order: DirectPayout) -> list[str]:
    """What the vault itself shall pay, line by line."""
    payout = read_intent(order.intent.encode())
    if not isinstance(payout, Payout):
        return ["It is no payout: sign nothing."]
    lines = [f"pays       {line.units} units to {line.destination}" for line in payout.lines]
    return [f"The vault pays a payout of merchant {payout.merchant} directly, in {payout.asset}:", *lines]


def _genesis(order: Genesis) -> list[str]:
    quorum = read_quorum(order.quorum.encode())
    lines = [
        "A new journal begins, and with it everything that a signer may ever do.",
        f"root fingerprint  {_grouped(quorum.fingerprint())}",
        f"officers          {quorum.threshold} of {', '.join(officer.name for officer in quorum.officers)}",
        f"journal key       {_grouped(order.journal_key)}",
        f"lease key         {_grouped(order.lease_key)}",
        f"made              {_time(order.created_at)}",
    ]
    return lines + [line for key in order.floats for line in _float(key)]


def _float(key: FloatKey) -> list[str]:
    return [
        f"on {key.network}",
        f"  float at  {key.address}",
        f"  of key    {_grouped(key.public_key)}",
        f"  vault     {key.vault}",
    ]


def _number(number: int) -> str:
    return f"number {number}"


def _time(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _grouped(text: str) -> str:
    return " ".join(text[place : place + 8] for place in range(0, len(text), 8))
