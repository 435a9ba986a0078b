"""`doctor`'s look at the nodes: each by itself, then whether those of one network agree."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime

from holdfast.chains.port import Header, Node
from holdfast.core.errors import HoldfastError
from holdfast.core.networks import EvmNetwork, Network
from holdfast.faces.cli.findings import Finding, failed
from holdfast.payments.nodes import open_one
from holdfast.runtime.clock import SYSTEM_CLOCK
from holdfast.runtime.settings import NetworkSettings, NodeSettings, Settings

TIP_AGE_SECONDS_MAX = {"bitcoin": 2 * 3600, "evm": 120}
"""A live network of the family makes a block sooner than this, but for a few times a year."""
TIP_AHEAD_SECONDS_MAX = 900
"""A block from further in the future tells of a clock that is behind (Bitcoin's own limit is two hours)."""
BEHIND_BLOCKS_MAX = 3
ANSWER_SECONDS_MAX = 20


@dataclass(frozen=True, slots=True)
class _Asked:
    label: str
    node: Node | None
    tip: Header | None
    findings: list[Finding]


async def check_network(settings: Settings, network: NetworkSettings) -> list[Finding]:
    """Each node: reachable, on the right network, in step with the clock; together: of one mind."""
    asked = await asyncio.gather(*(_ask(network, node, number) for number, node in enumerate(network.nodes, 1)))
    findings = [finding for one in asked for finding in one.findings]
    answered = [(one.label, one.node, one.tip) for one in asked if one.node is not None and one.tip is not None]
    if len(answered) > 1:
        findings += await _agreement(network.name, answered)
    if len(network.nodes) == 1 and not network.network.is_test:
        remedy = (
            "Add a second node that somebody else runs: one node that lies can have money credited that never came."
        )
        findings.append(Finding(f"{network.name} nodes", "warn", "one node alone is believed", remedy))
    for one in asked:
        if one.node is not None:
            await one.node.close()
    return findings


async def _ask(settings: NetworkSettings, node_settings: NodeSettings, number: int) -> _Asked:
    label = f"{settings.name} node {number}"
    try:
        node = open_one(settings.network, node_settings, number)
    except HoldfastError as error:
        return _Asked(label, None, None, [failed(label, error)])
    try:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            tip = await node.tip()
    except HoldfastError as error:
        return _Asked(label, node, None, [failed(label, error)])
    except TimeoutError:
        finding = Finding(label, "fail", f"no answer within {ANSWER_SECONDS_MAX} s", "Start the node or mend its URL.")
        return _Asked(label, node, None, [finding])
    return _Asked(label, node, tip, [_tip(label, settings.network, tip)])


def _tip(label: str, network: Network, tip: Header) -> Finding:
    age = int((SYSTEM_CLOCK.now() - datetime.fromtimestamp(tip.time, UTC)).total_seconds())
    detail = f"height {tip.height}, newest block {age} s old"
    if age < -TIP_AHEAD_SECONDS_MAX:
        remedy = "Set this machine's clock by NTP: its node's newest block is from the future."
        return Finding(label, "fail", detail, remedy)
    limit = TIP_AGE_SECONDS_MAX["evm" if isinstance(network, EvmNetwork) else "bitcoin"]
    if age > limit and not network.is_test:
        remedy = "Wait until the node has caught up, or look at its peers and log; nothing new is credited meanwhile."
        return Finding(label, "fail", detail, remedy)
    return Finding(label, "ok", detail)


async def _agreement(name: str, answered: list[tuple[str, Node, Header]]) -> list[Finding]:
    label = f"{name} agreement"
    heights = [tip.height for _, _, tip in answered]
    common = max(0, min(heights) - BEHIND_BLOCKS_MAX)
    try:
        headers = await asyncio.gather(*(node.headers(common, common) for _, node, _ in answered))
    except HoldfastError as error:
        return [failed(label, error)]
    hashes = {found[0].hash if found else "none" for found in headers}
    if len(hashes) > 1:
        remedy = "Find out which node is wrong and replace it; nothing is credited until then."
        return [Finding(label, "fail", f"different blocks at height {common}: {', '.join(sorted(hashes))}", remedy)]
    if max(heights) - min(heights) > BEHIND_BLOCKS_MAX:
        behind = min(answered, key=lambda one: one[2].height)[0]
        remedy = "Wait until it has caught up, or look at its peers and log; credit waits for the slowest."
        return [Finding(label, "warn", f"{behind} is {max(heights) - min(heights)} blocks behind", remedy)]
    return [Finding(label, "ok", f"all {len(answered)} have the same block at height {common}")]
