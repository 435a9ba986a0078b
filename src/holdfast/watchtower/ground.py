"""Which places of a network are watched, as the journal tells entry by entry. Addresses are derived here."""

from __future__ import annotations

from collections.abc import Iterable

from coincurve import PublicKey

from holdfast.chains.bitcoin_blocks import outpoint_bytes
from holdfast.chains.bitcoin_scripts import script_of
from holdfast.chains.granted import granted_address
from holdfast.chains.outgoing import Sources
from holdfast.core.addresses import BitcoinVault, EvmVault
from holdfast.core.certificates import read_certificate
from holdfast.core.descriptors import Branch, VaultDescriptor
from holdfast.core.evm_transactions import address_of
from holdfast.core.journal import CertificateTaken, Deposit, Entry, Funding, Ordered
from holdfast.core.networks import BitcoinNetwork, EvmNetwork, Network
from holdfast.core.orders import FloatKey, Genesis, RotateFloat, read_order
from holdfast.policy.record import Record
from holdfast.watchtower.matching import Ground, Role

CHANGE_AHEAD = 50
"""Change addresses of the vault that are watched beyond the last one that was used."""


class Places:
    """The watched places of one network."""

    def __init__(self, network: Network, sources: Sources, accounts: Iterable[str] = ()) -> None:
        """`accounts`: further ones whose every transaction the journal must have: the gas account's (EVM)."""
        self.network = network
        self.sources = sources
        self.ground = Ground(network.id)
        self._change: dict[str, list[str]] = {}
        """By vault: its change addresses that are watched, by index (Bitcoin family)."""
        for account in accounts:
            self.ground.addresses[account] = Role.GAS
            sources.accounts.add(account)

    def learn(self, entry: Entry, record: Record) -> None:
        """Watch what this entry brings."""
        match entry.body:
            case Ordered(order=signed):
                order = read_order(signed.document.encode())
                floats = order.floats if isinstance(order, Genesis) else ()
                self.floats((order.float,) if isinstance(order, RotateFloat) else floats)
            case CertificateTaken(document=document):
                self._vaults(document)
            case Deposit() as deposit if deposit.network == self.network.id:
                self._output(deposit.key, address_of_deposit(self.network, deposit, record), Role.VAULT)
            case Funding() as funding if funding.network == self.network.id:
                self._output(funding.key, funding.address, self.ground.addresses.get(funding.address, Role.OLD_FLOAT))
            case _:
                pass

    def reach(self) -> None:
        """Watch change of the vault as far ahead as any was used."""
        used = set(self.sources.found.values())
        for text, addresses in self._change.items():
            last = max((place for place, each in enumerate(addresses) if each in used), default=-1)
            for index in range(len(addresses), last + 1 + CHANGE_AHEAD):
                if isinstance(self.network, BitcoinNetwork):
                    addresses.append(VaultDescriptor.parse(text).address(index, self.network, Branch.CHANGE))
                    self._script(addresses[-1], Role.VAULT)

    def _vaults(self, certificate: str) -> None:
        for grant in read_certificate(certificate.encode()).networks:
            if grant.network == self.network.id and isinstance(grant.vault, BitcoinVault):
                self._change.setdefault(grant.vault.descriptor, [])
        self.reach()

    def floats(self, keys: Iterable[FloatKey]) -> None:
        """Watch these floats; those of the same network before them are old ones now."""
        for key in keys:
            if key.network != self.network.id:
                continue
            for address, role in self.ground.addresses.items():
                if role is Role.FLOAT:
                    self.ground.addresses[address] = Role.OLD_FLOAT
            if isinstance(self.network, EvmNetwork):
                owner = address_of(PublicKey(bytes.fromhex(key.public_key)))
                self.ground.addresses |= {owner: Role.FLOAT, key.address: Role.FLOAT, key.vault: Role.VAULT}
                self.sources.accounts.add(owner)
                self.sources.contracts |= {key.address, key.vault}
                self.sources.safes.add(key.vault)
            else:
                self._script(key.address, Role.FLOAT)
                self._script(key.vault, Role.VAULT)

    def _output(self, outpoint: str, address: str, role: Role) -> None:
        self.ground.addresses.setdefault(address, role)
        if isinstance(self.network, BitcoinNetwork):
            self._script(address, role)
            self.sources.add_outpoint(outpoint_bytes(outpoint))
            self.ground.outpoints[outpoint] = address

    def _script(self, address: str, role: Role) -> None:
        if isinstance(self.network, BitcoinNetwork):
            self.ground.addresses[address] = role
            self.sources.scripts[script_of(self.network, address)] = address


def address_of_deposit(network: Network, deposit: Deposit, record: Record) -> str:
    """Where a journaled deposit must have arrived, by the merchant's certificate. Raises `KeyError` without one."""
    address = granted_address(record, network, deposit.merchant, deposit.index)
    if address is None:
        raise KeyError(deposit.key)
    return address


def vault_of(network: Network, record: Record) -> EvmVault | None:
    """The forwarders' factory and the Safe, of the newest certificate that grants any (EVM)."""
    for person in record.merchants.values():
        for certificate, _ in reversed(person.certificates):
            for grant in certificate.networks:
                if grant.network == network.id and isinstance(grant.vault, EvmVault):
                    return grant.vault
    return None
