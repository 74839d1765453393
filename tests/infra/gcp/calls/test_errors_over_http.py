"""What fails over HTTP becomes the same error: REST answers, connections, credentials; real servers, real clients."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import google.auth
import httpx
import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth.credentials import AnonymousCredentials
from google.auth.transport.requests import Request
from google.cloud import storage
from google.oauth2 import service_account

from infra.gcp.calls.errors import GoogleError, translated
from tests.infra.gcp.calls.details import check_details

# ------------------------------------------------------------------------------------------------------- REST


class Answer(BaseHTTPRequestHandler):
    status, body = 503, ""
    headers_sent: ClassVar[dict[str, str]] = {}

    def do_GET(self) -> None:
        if self.status == 0:
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response(self.status)
        for name, value in {"Content-Type": "application/json", **self.headers_sent}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.body.encode())

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_args: object) -> None:
        pass


@contextmanager
def serving(status: int, body: Any = "", **headers: str) -> Iterator[str]:
    """A server that answers everything alike; status 0 drops the connection instead."""
    kind = type("Handler", (Answer,), {"status": status, "headers_sent": headers})
    kind.body = body if isinstance(body, str) else json.dumps(body)  # type: ignore[attr-defined]
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def storage_failure(origin: str, **more: Any) -> GoogleError:
    client = storage.Client("p", credentials=AnonymousCredentials(), client_options={"api_endpoint": origin})
    with client._http, pytest.raises(GoogleError) as caught, translated("storage.buckets.get"):  # closes its sockets
        client.get_bucket("b", retry=None, **more)
    return caught.value


def body_of(status: str, code: int, **more: Any) -> dict[str, Any]:
    return {"error": {"code": code, "message": "as it is", "status": status, **more}}


@pytest.mark.parametrize("status", ["ALREADY_EXISTS", "ABORTED"])
def test_the_two_conflicts_that_rest_collapses_are_told_apart(status: str) -> None:
    with serving(409, body_of(status, 409)) as origin:
        error = storage_failure(origin)
    assert (error.status, error.http_status) == (status, 409)


def test_a_rest_error_keeps_all_its_details() -> None:
    details = [
        {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "SERVICE_DISABLED", "domain": "googleapis.com",
         "metadata": {"service": "run.googleapis.com"}},
        {"@type": "type.googleapis.com/google.rpc.Help", "links": [{"url": "https://console.example/enable"}]},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "3.5s"},
        {"@type": "type.googleapis.com/google.rpc.PreconditionFailure",
         "violations": [{"type": "T", "subject": "S", "description": "D"}]},
        {"@type": "type.googleapis.com/google.rpc.BadRequest",
         "fieldViolations": [{"field": "name", "description": "too long"}]},
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure",
         "violations": [{"subject": "project:42", "description": "CPU"}]},
        {"@type": "type.googleapis.com/acme.Unheard", "x": 1},
    ]  # fmt: skip
    with serving(403, body_of("PERMISSION_DENIED", 403, details=details)) as origin:
        check_details(storage_failure(origin))


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (400, "INVALID_ARGUMENT"),
        (403, "PERMISSION_DENIED"),
        (404, "NOT_FOUND"),
        (409, "ABORTED"),
        (412, "FAILED_PRECONDITION"),
        (429, "RESOURCE_EXHAUSTED"),
        (500, "INTERNAL"),
        (502, "UNAVAILABLE"),
        (503, "UNAVAILABLE"),
        (504, "DEADLINE_EXCEEDED"),
        (418, "UNKNOWN"),
    ],
)
def test_an_answer_without_a_status_name_gets_the_one_of_its_code(code: int, status: str) -> None:
    with serving(code, "<html>no JSON</html>") as origin:
        error = storage_failure(origin)
    assert (error.status, error.http_status) == (status, code)


def test_a_conflict_that_says_already_exists_is_one_also_without_a_status_name() -> None:
    with serving(409, {"error": {"code": 409, "message": "you already own it"}}) as origin:
        assert storage_failure(origin).status == "ALREADY_EXISTS"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "Fri, 21 Nov 2031 10:00:30 GMT"}, None),
        ({"Retry-After": "soon"}, None),
        ({}, None),
    ],
    ids=["seconds", "a date", "nonsense", "none"],
)
def test_retry_after_is_read_from_the_header(headers: dict[str, str], seconds: float | None) -> None:
    with serving(429, body_of("RESOURCE_EXHAUSTED", 429), **headers) as origin:
        found = storage_failure(origin).retry_after_s
    if "GMT" in headers.get("Retry-After", ""):
        assert found is not None
        assert found > 86_400  # counted from the Date that the server sent
    else:
        assert found == seconds


# ------------------------------------------------------------------------------------------------ connections


def closed_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def test_a_refused_connection_is_unavailable_and_nobody_answered() -> None:
    error = storage_failure(closed_port())
    assert (error.status, error.http_status) == ("UNAVAILABLE", None)
    assert "refused" in error.message


def test_a_dropped_connection_is_unavailable() -> None:
    with serving(0) as origin:
        assert storage_failure(origin).status == "UNAVAILABLE"


@contextmanager
def silent() -> Iterator[str]:
    """Accepts connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_server_that_never_answers_exceeds_the_deadline() -> None:
    with silent() as origin:
        assert storage_failure(origin, timeout=0.05).status == "DEADLINE_EXCEEDED"


@pytest.mark.parametrize("library", [requests, httpx], ids=["requests", "httpx"])
def test_both_http_libraries_fail_alike(library: Any) -> None:
    def failure(origin: str) -> GoogleError:
        with pytest.raises(GoogleError) as caught, translated("probe"):
            library.get(origin, timeout=0.5).raise_for_status()
        return caught.value

    with silent() as origin:
        assert failure(origin).status == "DEADLINE_EXCEEDED"
    with serving(404, body_of("NOT_FOUND", 404)) as origin:
        assert (failure(origin).status, failure(origin).message) == ("NOT_FOUND", "as it is")
    assert failure(closed_port()).status == "UNAVAILABLE"
    assert failure("http://no-such-host.invalid").status == "UNAVAILABLE"


# ------------------------------------------------------------------------------------------------ credentials


@pytest.fixture
def no_key_file() -> Iterator[None]:
    name = "GOOGLE_APPLICATION_CREDENTIALS"
    before, os.environ[name] = os.environ.get(name), "/no/such/key.json"
    yield
    del os.environ[name]
    os.environ.update({name: before} if before else {})


def test_missing_credentials_are_unauthenticated(no_key_file: None) -> None:
    with pytest.raises(GoogleError) as caught, translated("google.auth.default"):
        google.auth.default()
    assert (caught.value.status, caught.value.reason) == ("UNAUTHENTICATED", "CREDENTIALS_MISSING")


def refresh_failure(origin: str) -> GoogleError:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    credentials = service_account.Credentials.from_service_account_info(
        {"client_email": "x@acme.iam.gserviceaccount.com", "token_uri": origin, "private_key": key.decode()},
        scopes=["https://www.googleapis.com/auth/cloud-platform"],
    )
    with requests.Session() as session, pytest.raises(GoogleError) as caught, translated("token"):
        credentials.refresh(Request(session))
    return caught.value


def test_refused_credentials_are_unauthenticated() -> None:
    with serving(400, {"error": "invalid_grant", "error_description": "Invalid JWT"}) as origin:
        error = refresh_failure(origin)
    assert (error.status, error.reason) == ("UNAUTHENTICATED", "ACCESS_TOKEN_EXPIRED")
    assert "invalid_grant" in error.message


def test_a_token_server_that_cannot_be_reached_is_unavailable() -> None:
    assert refresh_failure(closed_port()).status == "UNAVAILABLE"
