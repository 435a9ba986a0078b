"""The document and the server agree: schemathesis makes requests from the one and judges the other's answers."""

import re
from collections.abc import Iterator

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    missing_required_header,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from fixtures_faces import Front, Member, Served
from holdfast.faces.api.application import V1
from holdfast.faces.api.callers import Whose
from holdfast.faces.api.openapi import allow_of, document
from holdfast.payments.api_keys import Scope

CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance,
    negative_data_rejection, missing_required_header, unsupported_method,
]  # fmt: skip
DOCUMENT = document(V1, "http://front.test")
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
SCHEMA.config.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])


@pytest.fixture(scope="module")
def merchant(served: Served) -> Member:
    return served.enrol()


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as opened:
        yield opened


@SCHEMA.parametrize()
@settings(max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
def test_the_server_does_what_its_document_says(
    case: Case, served: Served, merchant: Member, session: requests.Session
) -> None:
    is_operators = case.operation.definition.raw.get("x-scope") == "operator"
    if case.headers is not None:
        case.headers.pop("Holdfast-Merchant", None)  # the authorisation matrix is a test of its own
    key = served.operator if is_operators else merchant.key
    case.call_and_validate(
        base_url=served.url, session=session, headers={"Authorization": f"Bearer {key}"}, checks=CHECKS
    )


async def test_the_document_is_served_as_it_is(front: Front) -> None:
    answer = await front.call("GET", "/openapi.json", key=None)
    assert answer.headers["content-type"].startswith("application/vnd.oai.openapi+json")
    assert answer.json()["openapi"].startswith("3.1")
    assert answer.json()["paths"].keys() == DOCUMENT["paths"].keys()


def test_every_operation_says_which_scope_it_needs_and_what_it_refuses() -> None:
    for router in V1:
        for route in router.routes:
            for handler in route.route_handlers:  # type: ignore[union-attr]  HTTP routes, all of them
                for method in handler.http_methods - {"OPTIONS"}:
                    operation = DOCUMENT["paths"][route.path_format.rstrip("/")][method.lower()]
                    allow = allow_of(handler)
                    assert allow is not None
                    assert operation.get("x-scope") == (allow.scope.value if allow.scope else None)
                    assert (allow.whose is Whose.OPERATOR) == (allow.scope is Scope.OPERATOR)
                    assert {"400", "401", "403", "429", "500", "503"} <= operation["responses"].keys()
                    assert operation["summary"]
                    assert operation["description"]


def test_bodies_say_what_the_decoder_enforces() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert schemas["InvoiceRequest"]["additionalProperties"] is False
    assert schemas["Price"]["properties"]["amount"]["pattern"]
    assert all(schema for schema in schemas.values())


async def test_the_page_shows_every_operation_without_a_script(front: Front) -> None:
    page = (await front.call("GET", "/docs", key=None)).text
    assert "<script" not in page
    assert not re.search(r"(src|href|action)=.(https?:)?//", page)
    for path in DOCUMENT["paths"]:
        assert f"<code>{path}</code>" in page, path
