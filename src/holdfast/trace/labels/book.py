"""The book of labels: what is said of addresses by whom, and until when. Implements `reading.Names`.

Conflicts are shown, never merged: each label keeps its source, its date and its confidence. Labels can be added while
the book is in use; who reads at the same moment sees either all of an addition or nothing of it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from holdfast.core.networks import EVM_PREFIX
from holdfast.trace.labels.addresses import ANY_EVM, key_of
from holdfast.trace.labels.claims import ACCUSING
from holdfast.trace.model import Label, LabelKind

_CODE = frozenset({LabelKind.CONTRACT, LabelKind.DEX, LabelKind.BRIDGE, LabelKind.MIXER, LabelKind.ISSUER})
"""What is code: the same address on another network may hold other code, or nobody's."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """One address of which sources say what cannot both be so, or what a reader must know both of."""

    network: str
    address: str
    labels: tuple[Label, ...]
    why: str


class Book:
    """Labels by address."""

    def __init__(self, labels: Iterable[Label] = ()) -> None:
        """Takes them as they are: what is admitted was decided before."""
        self._said: dict[str, tuple[Label, ...]] = {}
        self.add(labels)

    def __len__(self) -> int:
        return sum(len(each) for each in self._said.values())

    def __iter__(self) -> Iterator[Label]:
        for said in self._said.values():
            yield from said

    def add(self, labels: Iterable[Label]) -> None:
        """Holds from now on. The same words of the same source twice count once."""
        added: dict[str, list[Label]] = defaultdict(list)
        for label in labels:
            added[_key(label.network, label.address)].append(label)
        said = {key: tuple(sorted({*self._said.get(key, ()), *more}, key=_surest_first)) for key, more in added.items()}
        self._said = {**self._said, **said}  # one assignment: a reader in another thread sees all of it or nothing

    def replace(self, labels: Iterable[Label]) -> None:
        """From now on these and no others."""
        self._said = Book(labels)._said

    def labels(self, network: str, address: str, at: int) -> Sequence[Label]:
        """All labels that hold at a moment (seconds since 1970), the surest first.

        On EVM also those of the same account on another network, at half the confidence, unless they speak of code.
        """
        found = (_here(label, network) for label in self._said.get(_key(network, address), ()))
        return sorted((label for label in found if label is not None and holds(label, at)), key=_surest_first)

    def service(self, network: str, address: str, at: int) -> Label | None:
        """The surest label that names a service there; None: it is nobody's that we know."""
        return next((label for label in self.labels(network, address, at) if label.kind.is_service), None)

    def once(self, network: str, address: str) -> Sequence[Label]:
        """All that was ever said, also what holds no longer: `sanctioned until`."""
        found = (_here(label, network) for label in self._said.get(_key(network, address), ()))
        return sorted((label for label in found if label is not None), key=_surest_first)

    def addresses(self, name: str) -> Sequence[tuple[str, str]]:
        """Network and address of everything that an actor of this name is said to have, in whatever letters."""
        wanted = name.casefold()
        return sorted({(each.network, each.address) for each in self if each.name.casefold() == wanted})

    def conflicts(self, at: int) -> tuple[Conflict, ...]:
        """Every address of which sources disagree at a moment, for a person to look at."""
        found = []
        for said in self._said.values():
            by_network: dict[str, list[Label]] = defaultdict(list)
            for label in said:
                if holds(label, at):
                    by_network[label.network].append(label)
            for network, labels in by_network.items():
                why = _disagreement(labels)
                if why:
                    found.append(Conflict(network, labels[0].address, tuple(labels), why))
        return tuple(sorted(found, key=lambda each: (each.network, each.address)))


def holds(label: Label, at: int) -> bool:
    """Whether it is said of this moment."""
    return label.valid_from <= at and (label.valid_until == 0 or at < label.valid_until)


def _key(network: str, address: str) -> str:
    """All EVM networks share one: an account is the same on each."""
    return key_of(network, address)[1] if network.startswith(EVM_PREFIX) else f"{network} {address}"


def _here(label: Label, network: str) -> Label | None:
    """What a label says on this network."""
    if label.network in (network, ANY_EVM) or network == ANY_EVM:
        return label
    if label.kind in _CODE:
        return None
    return msgspec.structs.replace(
        label, confidence=label.confidence // 2, source=f"{label.source} (said of {label.network})"
    )


def _surest_first(label: Label) -> tuple[int, int, str, str, str]:
    return -label.confidence, -label.stated_at, label.source, label.kind, label.name


def _disagreement(labels: Sequence[Label]) -> str:
    services = {plain_name(label.name) for label in labels if label.kind.is_service}
    if any(label.kind in ACCUSING for label in labels) and services:
        return "one source speaks ill of what another knows as a service"
    kinds = {label.kind for label in labels if label.kind.is_service}
    if len(kinds) > 1:
        return "sources differ about what it is: " + ", ".join(sorted(kinds))
    if len(services) > 1:
        return "sources differ about whose it is: " + ", ".join(sorted(services))
    return ""


def plain_name(name: str) -> str:
    """A name without what tells wallets of one owner apart: `binance` of `Binance 14` and of `binance.com`."""
    words = name.casefold().replace(":", " ").split()
    return _ENDING.sub("", words[0]) if words else ""


_ENDING = re.compile(r"\.(com|net|org|io)$")
