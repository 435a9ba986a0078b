"""TAXII 2.1 over HTTP: every request goes to `trace.share.taxii`, and nothing else is served here.

It is a process of its own, with no database and none of the platform's keys: peers never talk to the platform.

python -m holdfast.faces.api.taxii --config taxii.toml
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from granian import Granian
from granian.constants import HTTPModes, Interfaces, Loops, RuntimeModes
from litestar import HttpMethod, Litestar, Request, Response, route

from holdfast.core.errors import HoldfastError
from holdfast.runtime.clock import SYSTEM_CLOCK, Clock
from holdfast.trace.share.collections import Collections
from holdfast.trace.share.taxii import BODY_BYTES_MOST, MEDIA_TYPE, Asked, Taxii, TaxiiSettings
from holdfast.trace.share.taxii_settings import TaxiiSettingsWrong, read_taxii_settings

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_METHODS = [HttpMethod.GET, HttpMethod.POST, HttpMethod.DELETE]


def taxii_application(server: Taxii, clock: Clock) -> Litestar:
    """The ASGI application: one route for all paths, since only the handler knows which exist."""

    @route(["/", "/{path:path}"], http_method=_METHODS, include_in_schema=False)
    async def answer(request: Request[Any, Any, Any]) -> Response[bytes]:
        query: dict[str, list[str]] = {}
        for name, value in request.query_params.multi_items():
            query.setdefault(name, []).append(value)
        asked = Asked(
            str(request.method),
            request.url.path,
            query,
            {name.lower(): value for name, value in request.headers.items()},
            await request.body(),
        )
        reply = server.handle(asked, (clock.now() - _EPOCH) // timedelta(microseconds=1))
        headers = {name: value for name, value in reply.headers.items() if name != "content-type"}
        return Response(
            reply.body,
            status_code=reply.status,
            media_type=reply.headers.get("content-type", MEDIA_TYPE),
            headers=headers,
        )

    return Litestar(
        route_handlers=[answer], request_max_body_size=BODY_BYTES_MOST + 1, openapi_config=None, logging_config=None
    )


def load_taxii(config: Path) -> Litestar:
    """What the process runs. Raises `TaxiiSettingsWrong`."""
    settings = read_taxii_settings(config)
    return taxii_application(Taxii(settings, Collections(config.parent / settings.directory)), SYSTEM_CLOCK)


def serve(config: Path) -> None:
    """Serve until told to stop. Raises `TaxiiSettingsWrong`."""
    settings = read_taxii_settings(config)
    host, port = _listen(settings)
    tls: dict[str, Any] = {}
    if settings.tls_certificate:
        tls = {"ssl_cert": config.parent / settings.tls_certificate, "ssl_key": config.parent / settings.tls_key}
    server = Granian(
        "taxii",
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        loop=Loops.uvloop,
        runtime_mode=RuntimeModes.st,
        http=HTTPModes.http1,
        websockets=False,
        log_enabled=False,
        **tls,
    )
    server.serve(target_loader=partial(load_taxii, config), wrap_loader=False)


def _listen(settings: TaxiiSettings) -> tuple[str, int]:
    host, _, port = settings.listen.rpartition(":")
    if not host or not port.isdecimal():
        raise TaxiiSettingsWrong(f"listen = {settings.listen!r} is no host:port")
    return host, int(port)


def main() -> int:
    """Run the server; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m holdfast.faces.api.taxii", description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    try:
        serve(parser.parse_args().config)
    except HoldfastError as error:
        sys.exit(f"holdfast: {error}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
