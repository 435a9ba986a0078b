"""Real nodes on this machine for trying things out and for tests: litecoind (or bitcoind) in regtest, and anvil.

Chains of one's own, whose blocks are made at will and whose coins are worth nothing. Never used by `holdfast serve`.
Everything listens on loopback only, and ends with the context that started it.
"""

from __future__ import annotations

from holdfast.chains.local_process import LocalNodeFailed, NodeBinaryMissing, free_port, free_ports, until
from holdfast.chains.localnet_anvil import AnvilNode, anvil, anvil_binary
from holdfast.chains.localnet_bitcoin import RegtestNode, litecoin_regtest, regtest

__all__ = [
    "AnvilNode",
    "LocalNodeFailed",
    "NodeBinaryMissing",
    "RegtestNode",
    "anvil",
    "anvil_binary",
    "free_port",
    "free_ports",
    "litecoin_regtest",
    "regtest",
    "until",
]
