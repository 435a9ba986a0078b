"""Puts a vault, and the factory of its deposit addresses, where `core.evm.plan` says they stand.

Whatever stands there already is left alone, so it can be run again after any interruption; afterwards the code of every
part is compared with what was built. It needs a gas account and no officer's key: whoever deploys has no power over it.
"""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.chains.evm_contracts import (
    artefact,
    create_proxy_call,
    encode_bytes,
    float_of,
    safe_release,
    vault_codes,
    word,
)
from holdfast.chains.evm_house import GasAccount
from holdfast.chains.evm_reads import quantity, unhex
from holdfast.chains.rpc import RpcClient
from holdfast.core.errors import Conflict, Unavailable
from holdfast.core.evm import (
    CREATE2_DEPLOYER,
    VaultPlan,
    address_bytes,
    checksum,
    create2,
    factory_init_code,
    keccak256,
    safe_initializer,
)
from holdfast.core.evm_float import float_init_code

_SALT = word(0)


class NetworkUnprepared(Unavailable):
    """A public deployer that every part needs is not on this network. Ask its maintainers to put it there."""

    code = "network-unprepared"
    retry = False


class ContractMismatch(Conflict):
    """Other code stands where a part of the vault belongs. Use no address of this deployment and report it."""

    code = "contract-mismatch"


@dataclass(frozen=True, slots=True)
class Deployment:
    """What was put on the network now; empty where all of it stood already."""

    made: tuple[str, ...]
    gas_used: int


async def deploy(node_url: str, plan: VaultPlan, key: bytes) -> Deployment:
    """Deploys what is missing of a plan, from the gas account with this key, and verifies all of it.

    Raises `NetworkUnprepared`, `ContractMismatch`, `HouseTransactionRefused`, `HouseTransactionUnconfirmed`, and what
    the node raises.
    """
    rpc = RpcClient(node_url)
    try:
        site = _Site(rpc, GasAccount(rpc, key))
        await site.put_safe()
        release = safe_release()
        initializer = safe_initializer(plan.owners, plan.threshold)
        proxy_call = create_proxy_call(release.singleton.address, initializer)
        await site.put("vault", plan.vault, release.proxy_factory.address, proxy_call)
        init_code = factory_init_code(vault_codes(), address_bytes(plan.vault))
        await site.put("factory", plan.factory, CREATE2_DEPLOYER, _SALT + init_code)
        await verify_with(rpc, plan)
        return Deployment(tuple(site.made), site.gas_used)
    finally:
        await rpc.close()


async def verify(node_url: str, plan: VaultPlan) -> None:
    """Compares the code of every part of a deployment with what was built.

    Raises `ContractMismatch`, which also says what is missing, and what the node raises.
    """
    rpc = RpcClient(node_url)
    try:
        await verify_with(rpc, plan)
    finally:
        await rpc.close()


async def verify_with(rpc: RpcClient, plan: VaultPlan) -> None:
    """As `verify`, over an open connection."""
    release = safe_release()
    factory, implementation, vault = (address_bytes(one) for one in (plan.factory, plan.implementation, plan.vault))
    expected = {
        plan.vault: unhex(release.proxy.runtime_code),
        plan.factory: artefact("ForwarderFactory").runtime(vault, implementation),
        plan.implementation: artefact("Forwarder").runtime(factory, vault),
    }
    for address, code in expected.items():
        if await _code(rpc, address) != code:
            raise ContractMismatch(f"at {address}")
    # The proxy's code is the same for every Safe: which code it runs is its first storage word.
    singleton = unhex(await rpc.call(str, "eth_getStorageAt", plan.vault, "0x0", "latest"))[12:]
    if checksum(singleton) != release.singleton.address:
        raise ContractMismatch(f"the vault at {plan.vault} runs code of {checksum(singleton)}")


async def deploy_float(node_url: str, owner: str, vault: str, key: bytes) -> Deployment:
    """Puts the float of this owner and vault where `float_of` says, unless it stands there, and verifies it.

    Raises as `deploy`. The vault need not stand yet; OWNER's key is not needed.
    """
    rpc = RpcClient(node_url)
    try:
        site = _Site(rpc, GasAccount(rpc, key))
        init_code = float_init_code(owner, vault, artefact("Float").creation)
        await site.put("float", float_of(owner, vault), CREATE2_DEPLOYER, _SALT + init_code)
        await verify_float_with(rpc, owner, vault)
        return Deployment(tuple(site.made), site.gas_used)
    finally:
        await rpc.close()


async def verify_float_with(rpc: RpcClient, owner: str, vault: str) -> None:
    """Compares the float's code with what was built, over an open connection.

    Raises `ContractMismatch`, also when nothing stands there, and what the node raises.
    """
    address = float_of(owner, vault)
    if await _code(rpc, address) != artefact("Float").runtime(address_bytes(owner), address_bytes(vault)):
        raise ContractMismatch(f"at {address}")


async def deploy_local_contract(node_url: str, name: str, arguments: bytes, key: bytes) -> str:
    """Puts a contract of `localnet/` on a test network, once for the same arguments, and returns its address.

    `arguments`: its constructor's, as the ABI has them. Raises as `deploy`.
    """
    rpc = RpcClient(node_url)
    try:
        init_code = artefact(f"localnet/{name}").creation + arguments
        address = checksum(create2(address_bytes(CREATE2_DEPLOYER), _SALT, keccak256(init_code)))
        await _Site(rpc, GasAccount(rpc, key)).put(name, address, CREATE2_DEPLOYER, _SALT + init_code)
        return address
    finally:
        await rpc.close()


def token_arguments(symbol: str, decimals: int) -> bytes:
    """Constructor arguments of `localnet/PlainToken`."""
    return word(64) + word(decimals) + encode_bytes(symbol.encode())


class _Site:
    """One network while it is being built on."""

    def __init__(self, rpc: RpcClient, account: GasAccount) -> None:
        self._rpc = rpc
        self._account = account
        self.made: list[str] = []
        self.gas_used = 0

    async def put(self, name: str, address: str, deployer: str, call: bytes) -> None:
        """Has a deployer put what belongs at `address` there, unless something stands there."""
        if await _code(self._rpc, address):
            return
        if not await _code(self._rpc, deployer):
            raise NetworkUnprepared(f"{deployer}, which deploys the {name}")
        receipt = await self._account.send(deployer, call)
        self.made.append(name)
        self.gas_used += receipt.gas_used

    async def put_safe(self) -> None:
        """The Safe's own contracts, at the addresses they have on every network."""
        release = safe_release()
        await self._put_singleton_factory()
        for name, part in (("safe", release.singleton), ("safe proxy factory", release.proxy_factory)):
            await self.put(name, part.address, release.singleton_factory.address, _SALT + unhex(part.creation_code))

    async def _put_singleton_factory(self) -> None:
        deployer = safe_release().singleton_factory
        if await _code(self._rpc, deployer.address):
            return
        chain_id = quantity(await self._rpc.call(str, "eth_chainId"))
        signed = deployer.signed_deployments.get(str(chain_id))
        if signed is None:
            raise NetworkUnprepared(f"{deployer.address} on chain {chain_id}")
        await self._account.send(signed.signer, value=int(signed.cost_wei))
        raw = unhex(signed.transaction)
        receipt = await self._account.send_raw(raw, "0x" + keccak256(raw).hex())
        self.made.append("safe deployer")
        self.gas_used += receipt.gas_used


async def _code(rpc: RpcClient, address: str) -> bytes:
    return unhex(await rpc.call(str, "eth_getCode", address, "latest"))
