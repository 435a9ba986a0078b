"""Real public data of thefts, labels and sanctions lists, that is not part of the repository: tests skip without it.

`HOLDFAST_DATA` names its folder; else it is looked for beside the repository.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class RealData:
    """Where each part lies. A property that names a part that is absent skips the test that asks for it."""

    directory: Path

    def part(self, *names: str) -> Path:
        """A file or folder below; skips the test where it is absent."""
        path = self.directory.joinpath(*names)
        if not path.exists():
            pytest.skip(f"{'/'.join(names)} is not in the real data: set HOLDFAST_DATA to its folder")
        return path

    @property
    def atomic(self) -> Path:
        """Folder: the Atomic Wallet theft of June 2023, verified by hand (`Atomic.csv` and two lists of addresses)."""
        return self.part("heists", "atomic-wallet-2023")

    @property
    def tagpacks(self) -> Path:
        """Folder: GraphSense TagPacks and one actor pack."""
        return self.part("graphsense-tagpacks")

    @property
    def ofac_before(self) -> Path:
        """Folder: sanctioned addresses in September 2024, one file an asset."""
        return self.part("ofac-2024-09")

    @property
    def ofac_after(self) -> Path:
        """Folder: sanctioned addresses in November 2025."""
        return self.part("ofac-2025-11")

    @property
    def sdn_advanced(self) -> Path:
        """File: the SDN list as XML, compressed by bzip2."""
        return self.part("ofac-2025-11", "sdn_advanced.xml.bz2")

    @property
    def seeds(self) -> Path:
        """File: addresses of six incidents of one group of attackers, each with its source."""
        return self.part("incident-seeds", "dprk_incident_seeds.json")

    @property
    def poisoning(self) -> Path:
        """File: 43 transfers of one address after the Bybit theft, 11 of them of tokens that only look like others."""
        return self.part("bybit-poisoning", "hop2.csv")


@pytest.fixture(scope="session")
def real_data() -> RealData:
    """The folder of real data; skips the test where there is none."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    directory = Path(os.environ.get("HOLDFAST_DATA", beside))
    if not directory.is_dir():
        pytest.skip("no real data here: set HOLDFAST_DATA to its folder")
    return RealData(directory)
