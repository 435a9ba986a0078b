"""`holdfast canary`: pays small invoices from outside, and freezes when payers are shown a foreign address."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.faces.cli.terminal import JsonOption, emit, say

if TYPE_CHECKING:
    from holdfast.faces.canary.rounds import Finding, Round
    from holdfast.faces.canary.settings import CanarySettings

FOUND = 1


def canary(
    *,
    config: Annotated[Path, typer.Option("--config", help="The canary's settings: `canary.toml`.")],
    rounds: Annotated[int, typer.Option(min=0, help="Stop after so many; 0: go on.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Make small invoices as a merchant of your own, derive every address shown again, pay, and see them credited.

    Run it on a host outside, never beside the platform. Exit status 1 once anything was found.

    Example: `holdfast canary --config canary.toml`
    """
    from holdfast.faces.canary.settings import load

    is_good = asyncio.run(_run(load(config), rounds, as_json=as_json))
    if not is_good:
        raise typer.Exit(FOUND)


async def _run(settings: CanarySettings, rounds: int, *, as_json: bool) -> bool:
    from holdfast.client.clients import AsyncHoldfast, Pin
    from holdfast.faces.canary.rounds import play
    from holdfast.runtime.secret_files import read_secret

    pin = Pin(
        root_fingerprint=settings.root_fingerprint, key=bytes.fromhex(settings.merchant_key),
        version_file=settings.version_file,
    )  # fmt: skip
    is_good, done = True, 0
    async with AsyncHoldfast(settings.platform_url, read_secret(settings.api_key_file), pin) as client:
        while True:
            played = await play(client, settings)
            _show(played, as_json=as_json)
            if wrong := [each for each in played.findings if each.kind == "address"]:
                await asyncio.to_thread(_freeze, settings, wrong[0])
            is_good, done = is_good and not played.findings, done + 1
            if done == rounds:
                return is_good
            await asyncio.sleep(settings.every_seconds)


def _show(played: Round, *, as_json: bool) -> None:
    import msgspec

    lines = [f"ALERT {one.kind}: {one.detail} {one.invoice} {one.transaction}".rstrip() for one in played.findings]
    done = f"{played.invoice}: {len(played.compared)} addresses compared, {len(played.paid)} paid and credited"
    emit(msgspec.to_builtins(played), "\n".join(lines or [done]), as_json=as_json)


def _freeze(settings: CanarySettings, finding: Finding) -> None:
    """Freeze everything, with the canary's own freeze key, straight at the watchtower."""
    from holdfast.core.errors import HoldfastError
    from holdfast.core.orders import EVERYTHING
    from holdfast.faces.cli.freeze import tell
    from holdfast.runtime.clock import SYSTEM_CLOCK
    from holdfast.runtime.secret_files import read_secret
    from holdfast.vault import keystore
    from holdfast.vault.freezes import SingleKey, sign_freeze, signing_key

    if settings.freeze_keystore_file is None or settings.freeze_passphrase_file is None:
        say("ALERT no freeze key: freeze by hand, `holdfast freeze`")
        return
    sealed = keystore.read(settings.freeze_keystore_file, SingleKey.FREEZE)
    signing = signing_key(sealed, read_secret(settings.freeze_passphrase_file))
    at = int(SYSTEM_CLOCK.now().timestamp())
    try:
        tell(settings.watchtower, "freeze", sign_freeze(EVERYTHING, f"canary: {finding.detail}"[:400], at, signing))
    except HoldfastError as error:  # the next round tries again
        say(f"ALERT not frozen: {error.code}: {error.detail}")
    else:
        say("ALERT frozen: everything, by the canary")
