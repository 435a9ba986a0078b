"""What the merchant has signed, kept before it is sent: whatever the platform says, nothing is signed twice by mistake.

A platform in wrong hands could answer "try again" and keep both. So what is signed for a reference is remembered, and
signed anew only with the same number, of which the signer pays one at most.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from holdfast.core.errors import Conflict
from holdfast.core.intents import Intent, IntentMalformed, SignedIntent, read_intent


class OutboxBroken(Conflict):
    """The file of signed intents holds something else. Keep it, and find out what wrote to it before you sign more."""

    code = "outbox-broken"


@dataclass(slots=True)
class Outbox:
    """Signed intents by reference, in memory and in a file that only grows. One process writes to a file."""

    path: Path | None = None
    """None: remembered only while this runs."""
    _signed: dict[str, SignedIntent] = field(default_factory=dict)
    _is_read: bool = False

    def find(self, reference: str) -> SignedIntent | None:
        """What was last signed for a reference. Raises `OutboxBroken`."""
        if not self._is_read:
            self._read()
        return self._signed.get(reference)

    def keep(self, reference: str, signed: SignedIntent) -> None:
        """Remember it, on disk before this returns."""
        if not self._is_read:
            self._read()
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            line = msgspec.json.encode(signed) + b"\n"
            handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                if os.write(handle, line) != len(line):
                    raise OutboxBroken(f"{self.path}: written in part")
                os.fsync(handle)
            finally:
                os.close(handle)
        self._signed[reference] = signed

    def _read(self) -> None:
        lines = self.path.read_bytes().split(b"\n") if self.path is not None and self.path.exists() else []
        if self.path is not None and lines and lines[-1]:
            # The program ended while it wrote this line, and before it sent it.
            os.truncate(self.path, self.path.stat().st_size - len(lines[-1]))
        for number, line in enumerate(lines[:-1], 1):
            try:
                signed = msgspec.json.decode(line, type=SignedIntent)
                intent: Intent = read_intent(signed.document.encode())
            except (msgspec.DecodeError, UnicodeDecodeError, IntentMalformed) as error:
                raise OutboxBroken(f"{self.path}:{number}: {error}") from None
            self._signed[intent.reference] = signed
        self._is_read = True
