"""Three officers with known keys, their vaults, and spends of them."""

from holdfast.chains.evm_contracts import plan_vault
from holdfast.core.descriptors import Branch, Place, VaultDescriptor
from holdfast.core.networks import BitcoinNetwork, known_network
from holdfast.vault.checks import Check, CheckKind, Digest
from holdfast.vault.officers import OfficerSecret, descriptor_of, public_part
from holdfast.vault.safe import SafeVault, vault_of
from holdfast.vault.spends import VaultInput, VaultOutput, VaultSpend

SECRETS = tuple(OfficerSecret(bytes([number]) * 32, bytes([number + 100]) * 32) for number in (1, 2, 3))
ADA, BO, CY = SECRETS
PEOPLE = tuple(public_part(name, secret) for name, secret in zip(("ada", "bo", "cy"), SECRETS, strict=True))
STRANGER = OfficerSecret(b"s" * 32, b"t" * 32)
PLAN = plan_vault([person.evm_address for person in PEOPLE], 2)
SAFE: SafeVault = vault_of(31337, PLAN)


def bitcoin_network(name: str) -> BitcoinNetwork:
    network = known_network(name)
    assert isinstance(network, BitcoinNetwork)
    return network


def vault_on(network: BitcoinNetwork) -> tuple[str, VaultDescriptor]:
    """The officers' descriptor there, as text and parsed."""
    text = descriptor_of(network, PEOPLE, 2)
    return text, VaultDescriptor.parse(text)


LITECOIN = bitcoin_network("litecoin")
DESCRIPTOR, VAULT = vault_on(LITECOIN)
FLOAT_ADDRESS = "ltc1q" + "w508d6qejxtdg4y5r3zarvary0c5xw7kgmn4n9"


def settlement() -> VaultSpend:
    """Two deposits and some change, paid to the float, with change."""
    change = Place(Branch.CHANGE, 3)
    return VaultSpend(
        LITECOIN,
        DESCRIPTOR,
        (
            VaultInput("aa" * 32, 1, Place(Branch.DEPOSIT, 5), 100_000),
            VaultInput("bb" * 32, 0, Place(Branch.CHANGE, 1), 50_000),
            VaultInput("cc" * 32, 7, Place(Branch.DEPOSIT, 2**31 - 1), 25_000),
        ),
        (
            VaultOutput(FLOAT_ADDRESS, 120_000),
            VaultOutput(VAULT.address(3, LITECOIN, Branch.CHANGE), 50_000, change),
        ),
    )


def check_of(network: str, digest: Digest) -> Check:
    """What the checking machine would say."""
    return Check(CheckKind.SETTLEMENT, network, f"{network}/slip44:2", digest, ("pays the float what it is owed",))
