"""Whether a journaled transaction of the Bitcoin family pays what its entry says, script by script.

The journal's audit compares amounts; to whom they go stands in scripts, and it is looked at here: lines that merchants
signed, the vault, and change to the float's own key. A transaction is not right because the signer wrote it down.
"""

from __future__ import annotations

from holdfast.chains.bitcoin_scripts import script_of
from holdfast.core.bitcoin import key_script, read_unsigned
from holdfast.core.journal import Reserved
from holdfast.core.networks import BitcoinNetwork, network_by_id
from holdfast.policy.record import PAYOUT, Record

CAP_SWEEP = "cap-sweep"


def strange_outputs(record: Record, body: Reserved) -> str:
    """What it pays that it must not, in words; empty: nothing. Other families' calls are told by their data.

    Raises `BitcoinBytesMalformed`, `AddressWithoutScript`.
    """
    network, key = network_by_id(body.network), record.float_of(body.network, body.account)
    if not isinstance(network, BitcoinNetwork):
        return ""
    if key is None:
        return "it spends what is no float"
    own = key_script(bytes.fromhex(key.public_key), is_segwit=network.hrp is not None)
    outputs = [(one.script, one.units) for one in read_unsigned(bytes.fromhex(body.transaction)).outputs]
    if body.change_index is not None and outputs.pop(body.change_index) != (own, body.change_units):
        return "its change is not the float's"
    if body.purpose == PAYOUT:
        lines = [line for one in body.payouts for line in record.payouts[one].payout.lines]
        expected = [(script_of(network, line.destination), line.units) for line in lines]
    elif body.purpose == CAP_SWEEP:
        expected = [(script_of(network, key.vault), body.out_units)]
    else:
        expected = [(own, units) for _, units in outputs]
    return "" if sorted(outputs) == sorted(expected) else "it pays others than it should"
