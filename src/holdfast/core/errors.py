"""The root of every error that Holdfast expects.

An error is named for what happened; the first sentence of its docstring says what happened and the second what to do.
Both are shown to people, so the class is the documentation. `code` is kebab-case, stable and never reused.

    HoldfastError
    ├── BadInput       the caller must change what was sent
    ├── NotFound       there is no such thing, or it is not the caller's
    ├── NotPermitted   the caller may not do this
    ├── Conflict       true now, may be different later: the state forbids it
    └── Unavailable    a part that is needed does not answer; a retry may help
"""

from __future__ import annotations

from typing import ClassVar


class HoldfastError(Exception):
    """Something that Holdfast expects can happen did happen. Look its code up on the errors page."""

    code: ClassVar[str] = "holdfast-error"
    retry: ClassVar[bool] = False
    """Whether the same request may succeed later, unchanged."""

    def __init__(self, detail: str = "", **facts: str | int) -> None:
        super().__init__(detail)
        self.detail = detail
        self.facts = facts

    @classmethod
    def title(cls) -> str:
        """What happened, in one sentence."""
        return (cls.__doc__ or "").split(". ", 1)[0].strip().removesuffix(".") + "."

    @classmethod
    def remedy(cls) -> str:
        """What to do about it."""
        return " ".join((cls.__doc__ or "").split(". ", 1)[-1].split())

    def __str__(self) -> str:
        detail = f" ({self.detail})" if self.detail else ""
        facts = "".join(f" {name}={value}" for name, value in self.facts.items())
        return f"{self.code}: {self.title()}{detail}{facts} {self.remedy()}"


class BadInput(HoldfastError):
    """The request is not well formed. Correct what the detail names and send it again."""

    code = "bad-input"


class NotFound(HoldfastError):
    """There is no such thing here. Check the id, and that the key belongs to its merchant."""

    code = "not-found"


class NotPermitted(HoldfastError):
    """This caller may not do that. Use a key that has the scope which the detail names."""

    code = "not-permitted"


class Conflict(HoldfastError):
    """The present state forbids it. Read the state again and decide anew."""

    code = "conflict"


class Unavailable(HoldfastError):
    """A part that is needed does not answer. Try again later; `holdfast doctor` says which part."""

    code = "unavailable"
    retry = True
