"""What `init --local`, `localnet` and `pay` agree on: which nodes, on which ports, with which vault and test token.

Everything in the file is public or worthless: chains of one's own, and a gas key that every anvil has.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from holdfast.core.errors import BadInput, NotFound

LOCALNET_FILE = "localnet.json"
LOCALNET_DIR = "localnet"
TOKEN_SYMBOL, TOKEN_DECIMALS = "USDT", 6
FLOAT_WHOLE = {"rLTC": 400, "ETH": 8, "USDT": 8_000}
"""What the company puts into its float at the beginning, in whole coins."""
GAS_WHOLE = 5
"""What the float key's account, and the gas account, have for gas."""
# The first of anvil's accounts, published in its documentation.
ANVIL_KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")


class LocalnetMissing(NotFound):
    """There is no local network here. Make a set-up with one by `holdfast init --local DIR`, and name it with --dir."""

    code = "localnet-missing"


class LocalnetUnreadable(BadInput):
    """The file about the local network is not what `holdfast init --local` wrote. Make the set-up anew."""

    code = "localnet-unreadable"


class Localnet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A local network's plan."""

    litecoin_port: int
    anvil_port: int
    owners: list[str]
    """Officers' EVM addresses: owners of the vault."""
    threshold: int
    token: str
    """Address at which the test token stands once `localnet` has put it there."""
    float_owner: str
    """Address of the signer's float key on the EVM chain."""
    gas_account: str
    """Address of its gas key."""
    litecoin_float: str
    """Where the float lies on the Litecoin chain."""


def write_localnet(directory: Path, localnet: Localnet) -> None:
    """Write the plan."""
    (directory / LOCALNET_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(localnet)) + b"\n")


def read_localnet(directory: Path) -> Localnet:
    """The plan in this set-up's directory. Raises `LocalnetMissing`, `LocalnetUnreadable`."""
    path = directory / LOCALNET_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Localnet)
    except OSError:
        raise LocalnetMissing(str(path)) from None
    except msgspec.DecodeError as error:
        raise LocalnetUnreadable(f"{path}: {error}") from None


def token_address() -> str:
    """Where the test token will stand: CREATE2 from its code alone."""
    from holdfast.chains.evm_contracts import artefact, word
    from holdfast.chains.evm_deploy import token_arguments
    from holdfast.core.evm import CREATE2_DEPLOYER, address_bytes, checksum, create2, keccak256

    code = artefact("localnet/PlainToken").creation + token_arguments(TOKEN_SYMBOL, TOKEN_DECIMALS)
    return checksum(create2(address_bytes(CREATE2_DEPLOYER), word(0), keccak256(code)))
