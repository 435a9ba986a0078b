"""Everything that was read for an assessment, as values: who holds what, what it is limited by, how old it is. Pure.

No field holds a secret: of keystores the public part, of API keys what the platform itself keeps but for the hash.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from holdfast.core.quorum import Quorum
from holdfast.core.tower_status import TowerStatus
from holdfast.faces.assess.advisories import Advisories
from holdfast.payments.api_keys import ApiKey
from holdfast.payments.merchants import Merchant
from holdfast.payments.reconciling import Reconciliation
from holdfast.payments.standing_orders import StandingOrder
from holdfast.policy.document import Policy
from holdfast.policy.record import Record
from holdfast.runtime.settings import Settings
from holdfast.signer.settings import SignerSettings
from holdfast.watchtower.settings import TowerSettings

OFFICERS_KEYS = "officers' keys"
"""Of `Books.key_dates`: they are as old as the genesis that names them, or older."""


@dataclass(frozen=True, slots=True)
class FileSeen:
    """A file that holds a secret, from outside."""

    path: Path
    mode: int
    owner: int
    """User id."""


@dataclass(frozen=True, slots=True)
class KeystoreSeen:
    """A keystore's public part."""

    file: FileSeen
    kind: str
    """`officer`, `merchant`, `freeze`, `lease` or `signer`."""
    name: str
    key: str
    """Ed25519 public key, hex; empty where it has several."""
    cost: int


@dataclass(frozen=True, slots=True)
class ZoneSeen:
    """The directory of a zone on this host."""

    name: str
    directory: Path
    owner: int
    """User id."""


@dataclass(frozen=True, slots=True)
class NotLookedAt:
    """A part that could not be read, why, and what would let it be."""

    part: str
    reason: str
    how: str


@dataclass(frozen=True, slots=True)
class Files:
    """What lies on this host."""

    quorum: Quorum | None = None
    directory_mode: int = 0o700
    keystores: tuple[KeystoreSeen, ...] = ()
    secrets: tuple[FileSeen, ...] = ()
    zones: tuple[ZoneSeen, ...] = ()
    signer: SignerSettings | None = None
    signer_file: Path | None = None
    tower: TowerSettings | None = None
    tower_file: Path | None = None
    policy: Policy | None = None
    """From `policy.json` beside the configuration: counts only where the journal has none."""
    backup_at: datetime | None = None
    not_looked_at: tuple[NotLookedAt, ...] = ()


@dataclass(frozen=True, slots=True)
class Books:
    """What the platform's database says."""

    api_keys: tuple[ApiKey, ...] = ()
    merchants: tuple[Merchant, ...] = ()
    standing_orders: tuple[StandingOrder, ...] = ()
    reconciliations: tuple[Reconciliation, ...] = ()
    record: Record = field(default_factory=Record)
    """The mirrored journal of the signer."""
    key_dates: tuple[tuple[str, int], ...] = ()
    """Keys by what they are for, and since when they count: seconds since 1970, from genesis and rotations."""
    journal_error: str = ""


@dataclass(frozen=True, slots=True)
class Packages:
    """What runs, and what should."""

    installed: tuple[tuple[str, str, str], ...] = ()
    """(ecosystem, normalised name, version)."""
    locked: tuple[tuple[str, str, str], ...] = ()
    lock_files: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Inventory:
    """Everything."""

    at: datetime
    settings: Settings
    files: Files
    books: Books | None
    """None: the database did not answer."""
    packages: Packages
    advisories: Advisories | None
    """None: there are none."""
    last_at: datetime | None
    """The assessment before this one."""
    not_looked_at: tuple[NotLookedAt, ...] = ()
    tower: TowerStatus | None = None
    """What the watchtower says; None: it was not asked, or does not answer."""

    @property
    def is_test(self) -> bool:
        """Whether every network is a test network."""
        return all(network.network.is_test for network in self.settings.networks.values())

    @property
    def policies(self) -> list[Policy]:
        """The policy that counts, then looser ones that wait; of the file where the journal has none."""
        from holdfast.policy.people import Times

        now = int(self.at.timestamp())
        in_force = self.books.record.policies.in_force(Times(now, now)) if self.books else []
        if in_force or self.files.policy is None:
            return in_force
        return [self.files.policy]

    def has_directory(self, zone: str) -> bool:
        """Whether a zone's files lie on this host."""
        return any(one.name == zone for one in self.files.zones)
