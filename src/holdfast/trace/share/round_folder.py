"""A round of the roundtable in a folder: secrets, messages of both sides, and a log of everything that went in or out.

party.json      the secrets; for its owner alone, never handed over
mine/, theirs/  messages, in the order of the round
log.jsonl       every message with its SHA-256 and the moment; answered.txt beside the folder: what was answered before
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast.core.errors import BadInput, NotFound
from holdfast.trace.share.roundtable import (
    Kind,
    Message,
    Party,
    Round,
    RoundtableMalformed,
    Signed,
    asked_about,
    check,
    check_opened,
    next_message,
    sign,
    verify,
)

_SECRETS, _LOG, _ANSWERED = "party.json", "log.jsonl", "answered.txt"
_BYTES_MOST = 16 * 2**20


class RoundMissing(NotFound):
    """There is no round in this folder. Open one with `holdfast share roundtable start`."""

    code = "round-missing"


class RoundExists(BadInput):
    """This folder holds a round already. Take another folder: a round is never begun twice."""

    code = "round-exists"


class _Secrets(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    by: str
    incident: str
    key: str
    secret: str
    elements: tuple[str, ...]
    other: str
    """The other side's public key, once a person compared its fingerprint; empty before its offer was taken."""


class RoundFolder:
    """One side's folder of one round."""

    def __init__(self, directory: Path) -> None:
        """Opens it. Raises `RoundMissing`, `RoundtableMalformed`."""
        self.directory = directory
        path = directory / _SECRETS
        if not path.exists():
            raise RoundMissing(directory.name)
        try:
            self._secrets = msgspec.json.decode(path.read_bytes(), type=_Secrets)
        except msgspec.DecodeError as error:
            raise RoundtableMalformed(str(error)[:200]) from None
        self.party = Party(
            self._secrets.by,
            self._secrets.incident,
            Ed25519PrivateKey.from_private_bytes(bytes.fromhex(self._secrets.key)),
            bytes.fromhex(self._secrets.secret),
            self._secrets.elements,
        )

    @classmethod
    def create(cls, directory: Path, party: Party, at: int) -> RoundFolder:
        """A new round, with its offer written. Raises `RoundExists`, `RoundtableMalformed`."""
        path = directory / _SECRETS
        if path.exists():
            raise RoundExists(directory.name)
        for part in (directory, directory / "mine", directory / "theirs"):
            part.mkdir(mode=0o700, parents=True, exist_ok=True)
        secrets = _Secrets(
            party.by, party.incident, party.key.private_bytes_raw().hex(), party.secret.hex(), party.elements, ""
        )
        _write_private(path, msgspec.json.encode(secrets))
        folder = cls(directory)
        folder.go_on(at)
        return folder

    def so_far(self) -> Round:
        """Everything said, verified again. Raises `RoundtableMalformed`, `RoundtableStranger`."""
        theirs = self._messages("theirs", self._secrets.other)
        return Round(self._messages("mine", self.party.public), theirs)

    def take(self, content: bytes, at: int, other: str = "") -> Message:
        """Take what the other side sent. `other`: its key, where it was told over another channel.

        Raises `RoundtableMalformed`, `RoundtableStranger`.
        """
        if len(content) > _BYTES_MOST:
            raise RoundtableMalformed(f"{len(content)} bytes")
        try:
            signed = msgspec.json.decode(content, type=Signed)
        except msgspec.DecodeError as error:
            raise RoundtableMalformed(str(error)[:200]) from None
        message = verify(signed, other or self._secrets.other)
        so_far = self.so_far()
        if not so_far.theirs and message.kind is not Kind.OFFER:
            raise RoundtableMalformed("the other side's offer comes first")
        check(Round(so_far.mine, (*so_far.theirs, message)))
        if message.kind is Kind.OPENED:
            check_opened(Round(so_far.mine, (*so_far.theirs, message)))
        if not self._secrets.other:
            self._secrets = msgspec.structs.replace(self._secrets, other=message.key)
            _write_private(self.directory / _SECRETS, msgspec.json.encode(self._secrets))
        self._keep("theirs", message, content, at)
        return message

    def go_on(self, at: int) -> list[Path]:
        """Say all that is ours to say now; the new files, to be handed over. Raises what `next_message` raises."""
        written: list[Path] = []
        while True:
            so_far = self.so_far()
            message = next_message(self.party, so_far, at, self._answered())
            if message is None:
                return written
            if message.kind is Kind.ANSWER:
                self._remember(asked_about(so_far))
            written.append(self.say(message, at))

    def say(self, message: Message, at: int) -> Path:
        """Sign one message and put it where it is handed over from."""
        return self._keep("mine", message, msgspec.json.encode(sign(self.party, message)), at)

    def _messages(self, whose: str, key: str) -> tuple[Message, ...]:
        files = sorted((self.directory / whose).glob("*.json"))
        return tuple(verify(msgspec.json.decode(path.read_bytes(), type=Signed), key) for path in files)

    def _keep(self, whose: str, message: Message, content: bytes, at: int) -> Path:
        number = list(Kind).index(message.kind) + 1
        path = self.directory / whose / f"{number}-{message.kind}.json"
        path.write_bytes(content)
        line = {"at": at, "who": whose, "kind": message.kind, "sha256": hashlib.sha256(content).hexdigest()}
        with (self.directory / _LOG).open("ab") as log:
            log.write(msgspec.json.encode(line) + b"\n")
            log.flush()
            os.fsync(log.fileno())
        return path

    def _answered(self) -> Sequence[str]:
        path = self.directory.parent / _ANSWERED
        return path.read_text().splitlines() if path.exists() else ()

    def _remember(self, asked: str) -> None:
        """Before the answer is made: a crash in between costs a round, never a second answer."""
        with (self.directory.parent / _ANSWERED).open("a") as file:
            file.write(asked + "\n")
            file.flush()
            os.fsync(file.fileno())


def _write_private(path: Path, content: bytes) -> None:
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
