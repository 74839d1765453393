"""Webhooks that nobody with the secret sent are refused."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.proof import WINDOW_S, Host, refuse_forged
from api.refused import Refused

SECRET, OLD, BODY, NOW = b"correct horse", b"battery staple", b'{"ref": "refs/heads/main"}', 1_800_000_000.0


def hexed(secret: bytes, body: bytes = BODY, algorithm: str = "sha256") -> str:
    return f"{algorithm}={hmac.new(secret, body, algorithm).hexdigest()}"


def standard(secret: bytes, name: str = "msg_1", when: float = NOW, body: bytes = BODY) -> dict[str, str]:
    signed = f"{name}.{int(when)}.".encode() + body
    signature = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
    return {"webhook-id": name, "webhook-timestamp": str(int(when)), "webhook-signature": f"v1a,x v1,{signature}"}


GENUINE = [
    (Host.GITHUB, {"x-hub-signature-256": hexed(SECRET), "x-github-delivery": "d1"}, "d1"),
    (Host.GITHUB, {"x-hub-signature-256": hexed(OLD), "x-github-delivery": "d2"}, "d2"),
    (Host.BITBUCKET, {"x-hub-signature": hexed(SECRET), "x-request-uuid": "d3"}, "d3"),
    (Host.BITBUCKET, {"x-hub-signature": hexed(SECRET), "x-request-id": "d4"}, "d4"),
    (Host.GITLAB, {"x-gitlab-token": SECRET.decode(), "idempotency-key": "d5"}, "d5"),
    (Host.GITLAB, standard(SECRET), "msg_1"),
    (Host.GENERIC, standard(OLD, when=NOW - WINDOW_S), "msg_1"),
]
FORGED = [
    (Host.GITHUB, {}),
    (Host.GITHUB, {"x-hub-signature-256": hexed(b"wrong")}),
    (Host.GITHUB, {"x-hub-signature-256": hexed(SECRET, b"another body")}),
    (Host.GITHUB, {"x-hub-signature": hexed(SECRET, algorithm="sha1")}),
    (Host.GITHUB, {"x-hub-signature-256": hexed(SECRET, algorithm="sha1")}),
    (Host.GITHUB, {"x-hub-signature-256": hexed(b"")}),
    (Host.GITHUB, {"x-hub-signature-256": "sha256=ä"}),
    (Host.BITBUCKET, {"x-hub-signature-256": hexed(SECRET)}),
    (Host.BITBUCKET, {"x-hub-signature": hexed(SECRET, algorithm="sha1")}),
    (Host.GITLAB, {"x-gitlab-token": ""}),
    (Host.GITLAB, {"x-gitlab-token": "correct hors"}),
    (Host.GENERIC, {"x-gitlab-token": SECRET.decode()}),
    (Host.GENERIC, standard(b"wrong")),
    (Host.GENERIC, standard(SECRET, body=b"another body")),
    (Host.GENERIC, {**standard(SECRET), "webhook-id": "msg_2"}),
    (Host.GENERIC, {**standard(SECRET), "webhook-timestamp": str(int(NOW) + 1)}),
    (Host.GENERIC, {**standard(SECRET), "webhook-timestamp": "²"}),
    (Host.GENERIC, {**standard(SECRET), "webhook-timestamp": "9" * 5000}),
    (Host.GENERIC, {**standard(SECRET), "webhook-signature": ""}),
]


@pytest.mark.parametrize(("host", "headers", "delivery"), GENUINE)
def test_what_was_signed_with_one_of_the_secrets_is_taken(host: Host, headers: dict[str, str], delivery: str) -> None:
    assert refuse_forged(host, headers, BODY, (OLD, SECRET), NOW) == delivery


@pytest.mark.parametrize(("host", "headers"), FORGED)
def test_anything_else_is_refused(host: Host, headers: dict[str, str]) -> None:
    with pytest.raises(Refused) as refused:
        refuse_forged(host, headers, BODY, (OLD, SECRET), NOW)
    assert refused.value.status == 401


@pytest.mark.parametrize("seconds", [-WINDOW_S - 1, WINDOW_S + 1, -10 * WINDOW_S])
def test_what_was_signed_long_ago_or_in_the_future_is_refused_though_the_signature_is_right(seconds: float) -> None:
    with pytest.raises(Refused, match="seconds ago"):
        refuse_forged(Host.GENERIC, standard(SECRET, when=NOW + seconds), BODY, (SECRET,), NOW)


@pytest.mark.parametrize("host", list(Host))
@pytest.mark.parametrize("secrets", [(), (b"",), (b" \n",)])
def test_without_a_secret_nothing_is_taken_though_an_empty_key_signs(host: Host, secrets: tuple[bytes, ...]) -> None:
    headers = {"x-hub-signature-256": hexed(b""), "x-hub-signature": hexed(b""), "x-gitlab-token": "", **standard(b"")}
    with pytest.raises(Refused) as refused:
        refuse_forged(host, headers, BODY, secrets, NOW)
    assert refused.value.status == 503


def test_a_secret_of_the_specification_is_base64() -> None:
    key = b"0123456789abcdef01234567"
    given = b"whsec_" + base64.b64encode(key)
    assert refuse_forged(Host.GENERIC, standard(key), BODY, (given,), NOW) == "msg_1"


@given(st.dictionaries(st.sampled_from([*standard(b""), "x-hub-signature-256", "x-gitlab-token"]), st.text()))
def test_no_headers_of_a_stranger_make_it_fail_or_pass(headers: dict[str, str]) -> None:
    for host in Host:
        with pytest.raises(Refused):
            refuse_forged(host, headers, BODY, (SECRET,), NOW)
