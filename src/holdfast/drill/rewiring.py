"""Puts a drill's proxies and links into the zones' settings, where the template has the nodes and zones themselves."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from msgspec.structs import replace

from holdfast.drill.places import Places, TrustZone
from holdfast.drill.proxies import Link, NodeProxy
from holdfast.drill.template import ANVIL, LITECOIN, PORTS, READY, TOWER, Facts

_NUMBER = re.compile(r"(?<=[:= ])\d{5}\b")
_PLATFORM = "platform-watchtower"
_FILES = {TrustZone.PLATFORM: "holdfast.toml", TrustZone.SIGNER: "signer.toml", TrustZone.WATCHTOWER: "tower.toml",
          TrustZone.INCIDENT: "incident.toml"}  # fmt: skip


def moved(places: Places, facts: Facts, port: int) -> Facts:
    """The copy on ports of its own, from this one on: the facts of that. Whose files they are does not change."""
    for zone, name in _FILES.items():
        path = places.of(zone) / name
        if path.exists():
            _keep_owner(path, _NUMBER.sub(lambda found: _moved(int(found[0]), facts.port, port), path.read_text()))
    plan = replace(facts.plan, litecoin_port=port + LITECOIN, anvil_port=port + ANVIL)
    return replace(facts, port=port, plan=plan)


def _moved(number: int, old: int, new: int) -> str:
    return str(new + number - old if old <= number < old + PORTS else number)


def rewire(
    places: Places, facts: Facts, proxies: Mapping[tuple[TrustZone, str], NodeProxy], links: Mapping[str, Link]
) -> None:
    """Write it, file by file; whose file it is does not change."""
    for zone, name in _FILES.items():
        path = places.of(zone) / name
        if not path.exists():
            continue
        text = path.read_text(encoding="utf-8")
        for node, port in (("litecoin", facts.plan.litecoin_port), ("anvil", facts.plan.anvil_port)):
            text = re.sub(rf'"http://127\.0\.0\.1:{port}/?"', f'"{proxies[zone, node].url}"', text)
        text = re.sub(r', cookie_file = "[^"]*"', "", text)  # the proxy has it
        if zone is TrustZone.SIGNER:
            tower, platform = links["signer-watchtower"], links["signer-platform"]
            text = text.replace(f"tower_port = {facts.port + TOWER}", f"tower_port = {tower.port}")
            text = text.replace('tower_host = "127.0.0.1"', f'tower_host = "{tower.host}"')
            text = text.replace(f'"http://127.0.0.1:{facts.port}"', f'"http://{platform.host}:{platform.port}"')
        _keep_owner(path, _apart(zone, text, facts, links) if _PLATFORM in links else text)


def _apart(zone: TrustZone, text: str, facts: Facts, links: Mapping[str, Link]) -> str:
    """The settings of a zone where zones have networks of their own."""
    tower = facts.port + TOWER
    if zone is TrustZone.PLATFORM:
        return text.replace(f'address = "127.0.0.1:{tower}"', f'address = "127.0.0.1:{links[_PLATFORM].port}"')
    if zone is TrustZone.WATCHTOWER:
        return text.replace('\nhost = "127.0.0.1"', '\nhost = "0.0.0.0"')
    if zone is TrustZone.INCIDENT:
        line = f"tower_port = {tower}"
        text = text.replace(line, f'{line}\ntower_host = "{links["incident-watchtower"].host}"')
        for more in READY:
            there = links[f"incident-platform-{more}"]
            text = text.replace(f'"http://127.0.0.1:{there.port}/ready"', f'"http://{there.host}:{there.port}/ready"')
    return text


def _keep_owner(path: Path, text: str) -> None:
    status = path.stat()
    path.write_text(text, encoding="utf-8")
    os.chown(path, status.st_uid, status.st_gid)
