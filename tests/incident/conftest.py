"""An incident store of its own, and a watchtower's process where a test needs one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures_incident import Shop, incident_shop


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """A watchtower's process that gives its journal to an incident process, and that one's settings."""
    with incident_shop(tmp_path) as found:
        yield found
