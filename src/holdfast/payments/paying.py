"""What money out moves in the ledger, as pure functions: each returns transfers and posts nothing.

A payout is paid from the float with the company's money, and the merchant's balance becomes the company's claim on the
vault. Every key names what caused the transfer, so that it moves once however often the same fact is told.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from holdfast.core.money import AssetId
from holdfast.ledger import Account, AccountKind, Step, Transfer, post_pending, reserve, void


@dataclass(frozen=True, slots=True)
class Sum:
    """What a payout takes from a merchant, in smallest units of one asset."""

    payout_id: str
    merchant_id: str
    asset: str
    lines_units: int
    """What its destinations get."""
    fee_units: int
    """What the merchant pays for it."""

    @property
    def units(self) -> int:
        """Both together."""
        return self.lines_units + self.fee_units


def merchant(asset: str, merchant_id: str) -> Account:
    """What a merchant may order out."""
    return Account(AccountKind.MERCHANT, AssetId(asset), merchant_id)


def payable(asset: str, merchant_id: str) -> Account:
    """What a merchant has ordered out and is not paid yet."""
    return Account(AccountKind.PAYABLE, AssetId(asset), merchant_id)


def receivable(asset: str, merchant_id: str) -> Account:
    """What a merchant owes, because money that he had already ordered out was reorganised away."""
    return Account(AccountKind.RECEIVABLE, AssetId(asset), merchant_id)


def income(asset: str) -> Account:
    """What the company earned by tariffs."""
    return Account(AccountKind.INCOME, AssetId(asset))


def vault(asset: str) -> Account:
    """What lies in the vault."""
    return Account(AccountKind.VAULT, AssetId(asset))


def claim(asset: str) -> Account:
    """What the vault owes the company."""
    return Account(AccountKind.CLAIM, AssetId(asset))


def float_(asset: str) -> Account:
    """What lies at the float."""
    return Account(AccountKind.FLOAT, AssetId(asset))


def company(asset: str) -> Account:
    """The company's own: behind the float, and behind what merchants owe."""
    return Account(AccountKind.COMPANY, AssetId(asset))


def deficit(asset: str) -> Account:
    """What the vault lacks beyond the claim."""
    return Account(AccountKind.DEFICIT, AssetId(asset))


def reservation(taken: Sum) -> Transfer:
    """The payout is ordered: lines and fee count as spent from now on."""
    debit, credit = merchant(taken.asset, taken.merchant_id), payable(taken.asset, taken.merchant_id)
    return reserve(Transfer(f"payout:{taken.payout_id}", debit, credit, taken.units, taken.payout_id, "payout"))


def release(taken: Sum) -> Transfer:
    """It will never be paid: all of it is on the balance again. Only for what the signer's journal says is over."""
    return void(reservation(taken), f"payout:{taken.payout_id}:void")


def payment(taken: Sum, paid_units: int) -> list[Transfer]:
    """Its transaction is final and paid this much to its lines: the rest of them is on the balance again.

    The fee is the company's whatever was paid: the signer, which counts entitlements by the same rule, charges it too.
    """
    kept = paid_units + taken.fee_units
    if kept == 0:
        return [release(taken)]
    key, about = f"payout:{taken.payout_id}", taken.payout_id
    owing = payable(taken.asset, taken.merchant_id)
    return [
        post_pending(reservation(taken), f"{key}:post", kept),
        Transfer(f"{key}:claim", owing, claim(taken.asset), kept, about, "payout-claim"),
        *_moving((f"{key}:float", company(taken.asset), float_(taken.asset), paid_units, about, "payout")),
    ]


def ordered_out_of_vault(taken: Sum) -> list[Transfer]:
    """The vault paid a payout: its units are the merchant's no more, and its fee is the company's claim.

    Posted once: a block that leaves the chain takes back `paid_by_vault` alone. The order stands, so the units stay
    payable, and the signer charges the fee whatever becomes of it.
    """
    key, about = f"payout:{taken.payout_id}", taken.payout_id
    owing = payable(taken.asset, taken.merchant_id)
    return [
        post_pending(reservation(taken), f"{key}:post", taken.units),
        *_moving((f"{key}:claim", owing, claim(taken.asset), taken.fee_units, about, "payout-claim")),
    ]


def paid_by_vault(key: str, taken: Sum, about: str) -> list[Transfer]:
    """What a payout's lines took out of the vault."""
    owing = payable(taken.asset, taken.merchant_id)
    return _moving((f"{key}:lines", owing, vault(taken.asset), taken.lines_units, about, "direct-payout"))


def network_fee(coin: str, transaction: str, fee_units: int) -> list[Transfer]:
    """What a transaction of the float did cost, in the network's coin."""
    key = f"network-fee:{coin}:{transaction}"
    return _moving((key, company(coin), float_(coin), fee_units, transaction, "network-fee"))


def into_float(key: str, asset: str, units: int, about: str) -> list[Transfer]:
    """Money came to the float: the company's own, or with `out_of_vault` beside it a settlement."""
    return _moving((f"{key}:float", float_(asset), company(asset), units, about, "funding"))


def out_of_float(key: str, asset: str, units: int, about: str) -> list[Transfer]:
    """Money left the float other than by a payout: a cap sweep, with `into_vault` beside it."""
    return _moving((f"{key}:float", company(asset), float_(asset), units, about, "cap-sweep"))


def out_of_vault(key: str, asset: str, units: int, claim_units: int, about: str) -> list[Transfer]:
    """Money left the vault for the company, its network fee included. `claim_units`: what is left of the claim.

    What goes beyond the claim is a deficit: nobody had a right to it.
    """
    owed = max(0, min(units, claim_units))
    return _moving(
        (f"{key}:claim", claim(asset), vault(asset), owed, about, "settlement"),
        (f"{key}:deficit", deficit(asset), vault(asset), units - owed, about, "deficit"),
    )


def into_vault(key: str, asset: str, units: int, deficit_units: int, about: str) -> list[Transfer]:
    """The company's money came to the vault: it fills the deficit (`deficit_units`) first, the rest is claim."""
    filled = max(0, min(units, deficit_units))
    return _moving(
        (f"{key}:filled", vault(asset), deficit(asset), filled, about, "deficit-filled"),
        (f"{key}:claim", vault(asset), claim(asset), units - filled, about, "to-vault"),
    )


def bear(key: str, asset: str, owed_units: int, claim_units: int, about: str) -> list[Transfer]:
    """A reorganisation took what a merchant had ordered out: he owes it, and until he pays the company bears it.

    Its claim (`claim_units`: what is left of it) falls first; what is more is a deficit.
    """
    borne = max(0, min(owed_units, claim_units))
    return _moving(
        (f"{key}:borne", claim(asset), company(asset), borne, about, "reorg-borne"),
        (f"{key}:deficit", deficit(asset), company(asset), owed_units - borne, about, "deficit"),
    )


def unbear(key: str, asset: str, repaid_units: int, deficit_units: int, about: str) -> list[Transfer]:
    """A merchant repaid what he owed: the deficit (`deficit_units`) is filled first, then the claim is whole again."""
    filled = max(0, min(repaid_units, deficit_units))
    return _moving(
        (f"{key}:filled", company(asset), deficit(asset), filled, about, "deficit-filled"),
        (f"{key}:unborne", company(asset), claim(asset), repaid_units - filled, about, "reorg-repaid"),
    )


def undo(transfers: Iterable[Transfer], suffix: str) -> list[Transfer]:
    """The opposite of posted transfers, where a block that caused them has left the chain."""
    return [
        replace(one, key=f"{one.key}:{suffix}", debit=one.credit, credit=one.debit, kind=f"{one.kind}-undone")
        for one in transfers
        if one.step is Step.POSTED
    ]


def _moving(*drafts: tuple[str, Account, Account, int, str, str]) -> list[Transfer]:
    """The transfers that move something: a transfer of nothing is none."""
    return [Transfer(*draft) for draft in drafts if draft[3] > 0]
