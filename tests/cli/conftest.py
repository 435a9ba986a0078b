"""Set-ups for the command's tests, on a PostgreSQL as it really runs."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from fixtures_cli import SetUp, access, network
from holdfast.chains.localnet import RegtestNode
from holdfast.core.quorum import Officer, Quorum
from holdfast.runtime.database import migrate
from holdfast.runtime.embedded_database import EmbeddedDatabase, embedded
from holdfast.runtime.secret_files import write_secret


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def durable(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedDatabase]:
    """An embedded PostgreSQL, migrated, with nothing sped up."""
    async with embedded(tmp_path_factory.mktemp("durable")) as database:
        await migrate(database.owner_url)
        yield database


@pytest.fixture
def set_up(tmp_path: Path, durable: EmbeddedDatabase, litecoin: RegtestNode) -> SetUp:
    """A good set-up on one network."""
    officers = tuple(Officer(name, letter * 64) for name, letter in (("ada", "a"), ("bo", "b")))
    (tmp_path / "quorum.json").write_bytes(Quorum(officers, 2).document())
    write_secret(tmp_path / "secrets" / "webhook.key", "ab" * 32)
    sections: dict[str, dict[str, object]] = {
        "database": {"url": durable.url},
        "rates": {"sources": [], "fixed": {"LTC/EUR": "85.00"}},
    }
    return SetUp(tmp_path, sections=sections, networks={"litecoin-regtest": network(access(litecoin))})
