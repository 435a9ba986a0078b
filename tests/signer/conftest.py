"""A scene for each test: fresh keys and journal, shared nodes."""

from pathlib import Path

import pytest

from fixtures_signer import Scene, policy_text
from holdfast.chains.localnet import AnvilNode, RegtestNode


@pytest.fixture
def scene(tmp_path: Path, litecoin: RegtestNode, anvil_node: AnvilNode) -> Scene:
    """Officers, a policy and a merchant who is certified."""
    scene = Scene(tmp_path, litecoin, anvil_node)
    scene.set_policy(policy_text())
    scene.certify()
    return scene
