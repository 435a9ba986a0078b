"""One line per event, as JSON or for people, on standard error; a request's id is on every line that it causes.

Secrets are kept out where the line is written; the redaction here is the last line of defence and not a licence.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import TextIO

import structlog

from holdfast.runtime.settings import LogFormat, LogsSettings

REQUEST_ID_HEADER = "X-Request-Id"
"""Carries a request's id from zone to zone."""

REDACTED = "[redacted]"

# Without local variables: they are where the secrets are.
_TRACEBACKS = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))

CHATTY = ("alembic", "httpx", "asyncio")
"""Libraries that say at `info` what nobody needs to read; `httpx` would log URLs."""

_SECRET_NAME = re.compile(
    r"(?i)(^|_)(password|passwd|passphrase|secret|token|authorization|cookie|api_?key|private_?key|seed|mnemonic|xprv)($|_)"
)
_SECRET_SHAPES = (
    re.compile(r"\bhf_[A-Za-z0-9]+_[A-Za-z0-9_-]{16,}"),  # an API key of ours
    re.compile(r"\bwhsec_[A-Za-z0-9+/=_-]{16,}"),  # a webhook secret (Standard Webhooks)
    re.compile(r"\b[a-zA-Z]prv[1-9A-HJ-NP-Za-km-z]{80,}"),  # an extended private key (BIP 32)
    re.compile(r"(?i)\b(?:bearer|basic)\s+[A-Za-z0-9+/=._~-]{8,}"),  # an Authorization header
    re.compile(r"(?<=://)[^\s/@:]*:[^\s/@]+(?=@)"),  # user:password in a URL
    re.compile(r"(?i)(?<=password=)\S+"),  # a libpq connection string
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)", re.DOTALL),
)
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{8,64}", re.ASCII)


def configure(settings: LogsSettings, zone: str, stream: TextIO | None = None) -> None:
    """Set this process up: `structlog` and the standard `logging` both write here, every line with its `zone`."""
    out = stream or sys.stderr
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        _zone(zone),
        structlog.processors.StackInfoRenderer(),
    ]
    end: list[structlog.typing.Processor] = (
        [_TRACEBACKS, redact, structlog.processors.JSONRenderer(default=str)]
        if settings.format is LogFormat.JSON
        else [structlog.processors.format_exc_info, redact, structlog.dev.ConsoleRenderer(colors=out.isatty())]
    )
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    structlog.configure(
        processors=[*shared, *end],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=stream is None,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *end]
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=max(level, logging.INFO), force=True)
    for library in CHATTY:
        logging.getLogger(library).setLevel(max(level, logging.WARNING))


def request_id() -> str | None:
    """The id of the request that this task works for."""
    found = structlog.contextvars.get_contextvars().get("request_id")
    return found if isinstance(found, str) else None


@contextmanager
def bound_request(given: str | None, fresh: str) -> Iterator[str]:
    """Put a request's id on every line logged inside: the caller's, where it is well formed, else `fresh`."""
    chosen = given if given is not None and _REQUEST_ID.fullmatch(given) else fresh
    with structlog.contextvars.bound_contextvars(request_id=chosen):
        yield chosen


def redact(_logger: object, _method: str, event: MutableMapping[str, object]) -> MutableMapping[str, object]:
    """A structlog processor: values under a secret's name, and texts in a known secret's shape, are blotted out."""
    return {
        name: REDACTED if _SECRET_NAME.search(name) and value is not None else _redacted(value)
        for name, value in event.items()
    }


def redact_text(text: str) -> str:
    """The text without what looks like a secret."""
    for shape in _SECRET_SHAPES:
        text = shape.sub(REDACTED, text)
    return text


def _redacted(value: object) -> object:
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, bytes):
        return redact_text(value.decode("utf-8", "replace"))
    if isinstance(value, dict):
        return redact(None, "", {str(name): one for name, one in value.items()})
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted(one) for one in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return redact_text(str(value))


def _zone(zone: str) -> structlog.typing.Processor:
    def add(_logger: object, _method: str, event: MutableMapping[str, object]) -> MutableMapping[str, object]:
        event["zone"] = zone
        return event

    return add
