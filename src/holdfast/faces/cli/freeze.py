"""`holdfast freeze` and `present`: straight to the watchtower, whatever became of the platform."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.core.errors import NotPermitted, Unavailable
from holdfast.faces.cli.passphrases import PassphraseFile, old_passphrase
from holdfast.faces.cli.terminal import JsonOption, emit, say

if TYPE_CHECKING:
    from holdfast.core.leases import Frozen

TowerOption = Annotated[str, typer.Option("--watchtower", metavar="HOST:PORT", help="Where the watchtower listens.")]
TOWER = "127.0.0.1:8790"
_SECONDS_MAX = 10
_ANSWER_BYTES_MAX = 1_000_000


class WatchtowerUnreachable(Unavailable):
    """The watchtower does not answer at that address. While it is down nothing is paid out; check the address."""

    code = "watchtower-unreachable"


class WordNotTaken(NotPermitted):
    """The watchtower did not take it, for the reason in the detail. Use another key, or have more officers sign."""

    code = "word-not-taken"


def freeze(  # noqa: PLR0913  one option of the command line each
    *,
    why: Annotated[str, typer.Option(help="Why; it stands in the watchtower's record for ever.")],
    keystore_file: Annotated[Path, typer.Option("--keystore", help="An officer's keystore, or one with a freeze key.")],
    asset: Annotated[list[str] | None, typer.Option(help="A CAIP-19 id; without any scope: everything.")] = None,
    network: Annotated[list[str] | None, typer.Option(help="A CAIP-2 id.")] = None,
    merchant: Annotated[list[str] | None, typer.Option(help="A merchant's id.")] = None,
    watchtower: TowerOption = TOWER,
    passphrase_file: PassphraseFile = None,
    as_json: JsonOption = False,
) -> None:
    """Stop payouts now. One officer, or one holder of a freeze key, is enough; the platform need not be up.

    Payments in go on. The way back is `holdfast restore`.

    Example: `holdfast freeze --why "malware on a laptop" --keystore ada.keystore --watchtower tower:8790`
    """
    import msgspec

    from holdfast.core.leases import Frozen
    from holdfast.core.orders import EVERYTHING
    from holdfast.runtime.clock import SYSTEM_CLOCK
    from holdfast.vault import keystore
    from holdfast.vault.freezes import OFFICER, SingleKey, sign_freeze, signing_key

    sealed = keystore.read(keystore_file, OFFICER, SingleKey.FREEZE)
    signing = signing_key(sealed, old_passphrase(passphrase_file, sealed.public.get("name", str(keystore_file))))
    at = int(SYSTEM_CLOCK.now().timestamp())
    scopes = [*(asset or ()), *(network or ()), *(merchant or ())] or [EVERYTHING]
    answers = [tell(watchtower, "freeze", sign_freeze(one, why, at, signing)) for one in scopes]
    _show(msgspec.convert(answers[-1], Frozen), as_json=as_json)


def present(
    *,
    keystore_file: Annotated[Path, typer.Option("--keystore", help="An officer's keystore, or one with a freeze key.")],
    watchtower: TowerOption = TOWER,
    passphrase_file: PassphraseFile = None,
    as_json: JsonOption = False,
) -> None:
    """Show the watchtower that somebody is there: where it waits for that, payouts go on for another while.

    Example: `holdfast present --keystore night-watch.freeze.keystore --watchtower tower:8790`
    """
    import msgspec

    from holdfast.core.leases import Seen
    from holdfast.policy.document import time_text
    from holdfast.runtime.clock import SYSTEM_CLOCK
    from holdfast.vault import keystore
    from holdfast.vault.freezes import OFFICER, SingleKey, sign_present, signing_key

    sealed = keystore.read(keystore_file, OFFICER, SingleKey.FREEZE)
    signing = signing_key(sealed, old_passphrase(passphrase_file, sealed.public.get("name", str(keystore_file))))
    word = sign_present(int(SYSTEM_CLOCK.now().timestamp()), signing)
    seen = msgspec.convert(tell(watchtower, "present", word), Seen)
    until = f"seen; once more before {time_text(seen.present_until)}" if seen.present_until else "it waits for nobody"
    emit(msgspec.to_builtins(seen), until, as_json=as_json)


def tell(address: str, name: str, word: object) -> dict[str, object]:
    """One line to the watchtower, one back. Raises `WatchtowerUnreachable`, `WordNotTaken`."""
    import msgspec

    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise typer.BadParameter(f"{address} is not HOST:PORT")
    try:
        with socket.create_connection((host, int(port)), timeout=_SECONDS_MAX) as connection:
            connection.sendall(msgspec.json.encode({name: word}) + b"\n")
            line = connection.makefile("rb").readline(_ANSWER_BYTES_MAX)
        answer = msgspec.json.decode(line, type=dict[str, object])
    except (OSError, OverflowError, msgspec.DecodeError) as error:
        raise WatchtowerUnreachable(f"{address}: {error}") from None
    if "refused" in answer:
        raise WordNotTaken(f"{answer['refused']}: {answer.get('detail', '')}")
    return answer


def _show(answer: Frozen, *, as_json: bool) -> None:
    import msgspec

    if not answer.is_news:
        say("The watchtower had this very word already.")
    text = f"frozen: {', '.join(answer.frozen)}" if answer.frozen else "nothing is frozen"
    emit(msgspec.to_builtins(answer), text, as_json=as_json)
