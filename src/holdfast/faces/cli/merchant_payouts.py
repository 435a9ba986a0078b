"""`holdfast merchant payout` and its siblings: money ordered out by shops without code, on the shop's own machine.

What is paid, to whom and at which fee is shown before the key is unlocked. The key may lie on a machine that is never
online: `--out` writes what was signed to a file, and `submit` hands it in from another.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from holdfast.core.errors import BadInput, Conflict
from holdfast.faces.cli.passphrases import PassphraseFile
from holdfast.faces.cli.shop import DecimalsOption, KeystoreOption, Shop, ShopOption, SignedFileMalformed, open_shop
from holdfast.faces.cli.terminal import JsonOption, emit, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.client import IntentSigner, Payout, PayoutOrder, PlatformRefused
    from holdfast.core.intents import SignedIntent

SHOWN_MAX = 20
_SLOTS = {"hour": 3600, "day": 86_400, "week": 7 * 86_400}

AssetOption = Annotated[str, typer.Option("--asset", help="CAIP-19 id of what is paid.")]
ToOption = Annotated[str | None, typer.Option("--to", metavar="ADDRESS", help="Whom to pay.")]
AmountOption = Annotated[str | None, typer.Option("--amount", help="How much, in whole coins: `0.25`.")]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", help="Only sign, and write it here: nothing is sent, no network is needed."),
]
FeeOption = Annotated[
    int | None,
    typer.Option(
        "--fee-units", min=0, help="The fee of each payout, in smallest units; else the platform is asked, or 0."
    ),
]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask before signing.")]


class PayoutUnclear(BadInput):
    """It is not clear what to pay. Give `--to` and `--amount`, or `--csv` with a file."""

    code = "payout-unclear"


class PayoutsRefused(Conflict):
    """The platform refused payouts, each for its own reason, which is shown. The others went through."""

    code = "payouts-refused"


def payout(  # noqa: PLR0913  one option of the command line each
    *,
    asset: AssetOption,
    to: ToOption = None,
    amount: AmountOption = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", help="A list instead: columns destination, amount and maybe reference.")
    ] = None,
    reference: Annotated[
        str | None, typer.Option(help="Your own name for it: the same one is never paid twice.")
    ] = None,
    decimals: DecimalsOption = None,
    fee_units: FeeOption = None,
    valid_hours: Annotated[int, typer.Option(min=1, max=744, help="How long it may be paid.")] = 24,
    shop: ShopOption = Path(),
    keystore_file: KeystoreOption = None,
    passphrase_file: PassphraseFile = None,
    out: OutOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Order a payout, or a list of them, with the merchant's own key.

    Example: `holdfast merchant payout --to 0x5aAe… --amount 0.25 --asset eip155:1/slip44:60 --shop merchants/shop`
    """
    here = open_shop(shop)
    orders = _orders(here, asset, decimals, _Wanted(to, amount, csv, reference, valid_hours * 3600))
    fees = _fees(here, orders, fee_units, is_offline=out is not None)
    _show(here, asset, decimals, orders, fees)
    if not yes:
        typer.confirm("Sign this?", abort=True, err=True)
    signer = here.signer(here.unlock(keystore_file, passphrase_file), asset, decimals)
    signed = [
        signer.payout(here.facts.merchant, one, fee) for one, fee in zip(_priced(orders, fees), fees, strict=True)
    ]
    if out is not None:
        _write(out, signed)
        say(f"Signed and not sent. On a machine that is online: holdfast merchant submit {out.name} --shop DIR")
        emit({"signed": [one.id for one in signed], "file": str(out)}, str(out), as_json=as_json)
        return
    _hand_in(here, signed, as_json=as_json)


def submit(
    file: Annotated[Path, typer.Argument(help="What `holdfast merchant payout --out` wrote.")],
    *,
    shop: ShopOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Hand in what was signed on another machine. Handing it in again does no harm.

    Example: `holdfast merchant submit payouts.json --shop merchants/shop`
    """
    _hand_in(open_shop(shop), _read(file), as_json=as_json)


def standing_order(  # noqa: PLR0913  one option of the command line each
    *,
    asset: AssetOption,
    to: Annotated[str, typer.Option("--to", metavar="ADDRESS", help="The one address that it ever pays.")],
    amount: Annotated[str, typer.Option("--amount", help="Most that one slot pays, in whole coins.")],
    until: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="When it ends (UTC), as in 2027-06-30.")],
    every: Annotated[str, typer.Option(help="A slot's length: `hour`, `day`, `week`, or seconds.")] = "day",
    reference: Annotated[str | None, typer.Option(help="Your own name for it.")] = None,
    decimals: DecimalsOption = None,
    fee_units: FeeOption = None,
    shop: ShopOption = Path(),
    keystore_file: KeystoreOption = None,
    passphrase_file: PassphraseFile = None,
    out: OutOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Sign once that the balance is paid out to one address, slot by slot; then no key needs to be online.

    Example: `holdfast merchant standing-order --to ltc1q… --amount 5 --asset bip122:12a7…/slip44:2 --until 2027-06-30`
    """
    from holdfast.client import NewStandingOrder, PayoutOrder, PayTo

    here = open_shop(shop)
    seconds = _SLOTS.get(every) or (int(every) if every.isascii() and every.isdecimal() else 0)
    if seconds <= 0:
        raise PayoutUnclear(f"--every {every[:40]!r}: hour, day, week, or a number of seconds")
    as_payout = [PayoutOrder(asset=asset, lines=[PayTo(to, amount)])]
    [fee] = _fees(here, as_payout, fee_units, is_offline=out is not None)
    _show(here, asset, decimals, as_payout, [fee])
    say(f"  once in {seconds} seconds at most, until {until:%Y-%m-%d} UTC; the signature cannot be taken back before")
    if not yes:
        typer.confirm("Sign this?", abort=True, err=True)
    signer = here.signer(here.unlock(keystore_file, passphrase_file), asset, decimals)
    wanted = NewStandingOrder(
        asset=asset, destination=to, amount=amount, every_seconds=seconds, expires_at=until.replace(tzinfo=UTC),
        reference=reference, fee_units=fee,
    )  # fmt: skip
    signed = signer.standing_order(here.facts.merchant, wanted, fee)
    if out is not None:
        _write(out, [signed])
        emit({"signed": [signed.id], "file": str(out)}, str(out), as_json=as_json)
        return
    _hand_in(here, [signed], as_json=as_json)


def payouts(
    *,
    shop: ShopOption = Path(),
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """List the merchant's payouts, newest first.

    Example: `holdfast merchant payouts --shop merchants/shop`
    """
    import msgspec

    with open_shop(shop).client() as client:
        found = client.payouts.page(limit=limit).items
    emit(msgspec.to_builtins(found), "\n".join(_line_of(one) for one in found) or "no payouts", as_json=as_json)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What the command line asks for."""

    to: str | None
    amount: str | None
    csv: Path | None
    reference: str | None
    valid_seconds: int


def _orders(here: Shop, asset: str, decimals: int | None, wanted: _Wanted) -> list[PayoutOrder]:
    """What is to be paid, none of it signed. Raises `PayoutUnclear`, `PayoutListRefused`, errors of amounts."""
    from holdfast.client import PayoutOrder, PayTo
    from holdfast.client.payout_lists import read_payouts

    checker = _checker(here, asset, decimals)
    if wanted.csv is not None and wanted.to is None and wanted.amount is None and wanted.reference is None:
        found = read_payouts(wanted.csv, asset, checker)
        return [replace(one, valid_seconds=wanted.valid_seconds) for one in found]
    if wanted.csv is not None or wanted.to is None or wanted.amount is None:
        raise PayoutUnclear
    line = checker.line(asset, PayTo(wanted.to, wanted.amount))
    lines = [PayTo(line.destination, units=line.units)]
    return [PayoutOrder(asset=asset, lines=lines, reference=wanted.reference, valid_seconds=wanted.valid_seconds)]


def _checker(here: Shop, asset: str, decimals: int | None) -> IntentSigner:
    """Reads amounts and addresses as they will be signed; its key is nobody's, and never signs."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from holdfast.client import MerchantKey

    return here.signer(MerchantKey(Ed25519PrivateKey.generate()), asset, decimals)


def _fees(here: Shop, orders: Sequence[PayoutOrder], fee_units: int | None, *, is_offline: bool) -> list[int]:
    """The fee of each: as told, as the platform asks, or none where there is no platform to ask."""
    if fee_units is not None or is_offline:
        return [fee_units or 0] * len(orders)
    with here.client() as client:
        here.check(client.certificate().merchant)
        asked = {
            lines: int(client.payouts.fee(orders[0].asset, lines).fee_units)
            for lines in {len(one.lines) for one in orders}
        }
    return [asked[len(one.lines)] for one in orders]


def _priced(orders: Sequence[PayoutOrder], fees: Sequence[int]) -> list[PayoutOrder]:
    """The orders with the fees that a person has seen."""
    return [replace(one, fee_units=fee) for one, fee in zip(orders, fees, strict=True)]


def _show(here: Shop, asset: str, decimals: int | None, orders: Sequence[PayoutOrder], fees: Sequence[int]) -> None:
    """Everything that a person compares before he signs."""
    from holdfast.core.money import format_units

    checker = _checker(here, asset, decimals)
    places = checker.places(asset)
    lines = [checker.line(asset, line) for one in orders for line in one.lines]
    say(f"{here.facts.merchant} pays, in {asset}:")
    for line in lines[:SHOWN_MAX]:
        say(f"  {format_units(line.units, places)} to {line.destination}")
    if len(lines) > SHOWN_MAX:
        say(f"  and {len(lines) - SHOWN_MAX} more, which the list names")
    say(f"  together {format_units(sum(line.units for line in lines), places)} to {len(lines)} destinations")
    say(f"  and a fee of {format_units(sum(fees), places)} for {len(orders)} payouts")


def _hand_in(here: Shop, signed: Sequence[SignedIntent], *, as_json: bool) -> None:
    """Send, and say what became of each. Raises `PayoutsRefused` once all are told."""
    import msgspec

    from holdfast.client import PlatformRefused
    from holdfast.core.intents import StandingOrder, read_intent

    plain = [one for one in signed if not isinstance(read_intent(one.document.encode()), StandingOrder)]
    standing = [one for one in signed if one not in plain]
    with here.client() as client:
        outcomes = client.payouts.submit(plain) if plain else []
        orders = [client.payouts.submit_standing_order(one) for one in standing]
    shown: list[Any] = [
        {"intent": one.id, "error": {"code": outcome.refusal, "detail": outcome.detail}}
        if isinstance(outcome, PlatformRefused)
        else msgspec.to_builtins(outcome)
        for one, outcome in zip(plain, outcomes, strict=True)
    ]
    lines = [_outcome_line(one, outcome) for one, outcome in zip(plain, outcomes, strict=True)]
    lines += [f"{one.id}  {one.state:<18}  {one.reference}" for one in orders]
    emit([*shown, *msgspec.to_builtins(orders)], "\n".join(lines), as_json=as_json)
    refused = [one for one in outcomes if isinstance(one, PlatformRefused)]
    if refused:
        raise PayoutsRefused(f"{len(refused)} of {len(plain)}: {refused[0].detail}")


def _outcome_line(signed: SignedIntent, outcome: Payout | PlatformRefused) -> str:
    from holdfast.client import PlatformRefused

    if isinstance(outcome, PlatformRefused):
        return f"{signed.id}  refused: {outcome.detail}"
    return _line_of(outcome)


def _line_of(one: Payout) -> str:
    why = one.rule or (one.waiting.rule if one.waiting else "")
    return f"{one.id}  {one.state:<18}  {one.reference}  {why}".rstrip()


def _write(out: Path, signed: Sequence[SignedIntent]) -> None:
    import msgspec

    from holdfast.faces.cli.shop import SIGNED_FILE_VERSION

    content = {"holdfast_signed_intents": SIGNED_FILE_VERSION, "signed": signed}
    out.write_bytes(msgspec.json.format(msgspec.json.encode(content)) + b"\n")


def _read(file: Path) -> list[SignedIntent]:
    """The signed intents in a file. Raises `SignedFileMalformed`."""
    import msgspec

    from holdfast.core.intents import IntentMalformed, SignedIntent, read_intent
    from holdfast.faces.cli.shop import SIGNED_FILE_VERSION

    try:
        content = msgspec.json.decode(file.read_bytes(), type=dict[str, msgspec.Raw])
        version = msgspec.json.decode(content["holdfast_signed_intents"], type=int)
        signed = msgspec.json.decode(content["signed"], type=list[SignedIntent])
        for one in signed:
            read_intent(one.document.encode())
    except (OSError, KeyError, msgspec.DecodeError, IntentMalformed) as error:
        raise SignedFileMalformed(f"{file}: {error}") from None
    if version != SIGNED_FILE_VERSION or not signed:
        raise SignedFileMalformed(f"{file}: version {version}, {len(signed)} intents")
    return signed
