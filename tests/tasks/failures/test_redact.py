"""Planted secrets never survive; ordinary text is left alone."""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.failures.redact import MASK, redact

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
SECRETS = st.text(LETTERS, min_size=40, max_size=64)
ORDINARY = """
the revision api-00042-fow is not ready: permission denied on secret projects/acme/secrets/DB for build
sha256:15181fe774711870687287b67e9daef23596549b9d354daf10c5624abedc319e europe-west1 Token expected, see
https://cloud.google.com/run/docs?hl=en&x=1 run-sa@acme.iam.gserviceaccount.com --set-secrets=DB=db:latest
gs://acme_cloudbuild/source.tgz v1.4.0-dev.g0613260 password authentication failed secretmanager.googleapis.com
us-docker.pkg.dev/acme/app/api@sha256:0123 projects/42/locations/europe-west1/services/api
"""
PROSE = st.lists(st.sampled_from(ORDINARY.split()), max_size=12).map(" ".join)

# Where real secrets stand in logs, requests and exceptions. {s} is the secret, {q} its URL-encoded form.
PLACES = [
    "ya29.{s}",
    "Authorization: Bearer {s}",
    '{{"authorization": "Bearer {s}"}}',
    "authorization: Basic {s}",
    "curl -H 'Authorization: token {s}' https://x",
    "Bearer {s}",
    "eyJhbGciOiJSUzI1NiJ9.{s}.{s}",
    "1//0{s}",
    "GOCSPX-{s}",
    "AIza{s}",
    "ghp_{s}",
    "https://storage.googleapis.com/b/o?X-Goog-Algorithm=GOOG4&X-Goog-Signature={s}&x=1",
    "https://storage.googleapis.com/b/o?GoogleAccessId=a&Expires=1&Signature={s}",
    "https://storage.googleapis.com/upload/b/o?uploadType=resumable&upload_id={s}",
    "https://run.app/?next=https%3A%2F%2Fx%3FX-Goog-Signature%3D{s}%26y",
    "https://user:{s}@example.com/path",
    "postgres://app:{s}@10.0.0.1:5432/db",
    "https://{s}@github.com/acme/app.git",
    "password={s}",
    "DB_PASSWORD={s}",
    "db_password = '{s}'",
    'DB_PASSWORD="{s} and {s}"',
    "token={s}&x=1",
    "https://x/callback?access_token={s}",
    "https://x/callback?next=%3Ftoken%3D{s}",
    "--password {s}",
    "--api-key {s}",
    "--client-secret={s}",
    "password: {s}",
    "client_secret: {s}",
    "token: {s}1",
    '{{"password": "{s}"}}',
    "{{'client_secret': '{s}'}}",
    '{{\\"refresh_token\\": \\"{s}\\"}}',
    '"private_key": "-----BEGIN PRIVATE KEY-----\\n{s}\\n-----END PRIVATE KEY-----\\n"',
    "-----BEGIN RSA PRIVATE KEY-----\n{s}\n{s}\n-----END RSA PRIVATE KEY-----",
    "-----BEGIN PRIVATE KEY-----\n{s}",
    "//registry.example.org/:_authToken={s}",
]


@pytest.mark.parametrize("place", PLACES)
@settings(max_examples=25)
@given(secret=SECRETS, before=PROSE, after=PROSE)
def test_a_planted_secret_never_survives(place: str, secret: str, before: str, after: str) -> None:
    text = f"{before} {place.format(s=secret)} {after}"
    masked = redact(text, {})
    assert secret not in masked
    assert MASK in masked


@given(secret=st.text('abc/+=&?%: "\\xyz019', min_size=8, max_size=40), before=PROSE)
def test_the_value_of_a_secret_variable_is_masked_in_every_spelling(secret: str, before: str) -> None:
    environment = {"SLACK_WEBHOOK_TOKEN": secret}
    for spelling in (secret, quote(secret), quote(secret, safe=""), json.dumps(secret)[1:-1]):
        masked = redact(f"{before} [{spelling}]", environment)
        assert masked == f"{before} [{MASK}]" or spelling not in masked


@given(PROSE)
def test_ordinary_text_is_unchanged(text: str) -> None:
    assert redact(text, {}) == text


@pytest.mark.parametrize(
    "row",
    [json.loads(line) for line in (Path(__file__).parents[2] / "data/messages.jsonl").read_text().splitlines()],
    ids=lambda row: row["id"],
)
def test_real_error_messages_hold_no_secret_and_are_unchanged(row: dict[str, str]) -> None:
    assert redact(row["text"], {}) == row["text"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PATH", "/usr/local/bin:/usr/bin"),
        ("GOOGLE_APPLICATION_CREDENTIALS", "/home/me/key.json"),
        ("DB_PASSWORD_FILE", "/run/secrets/db-password"),
        ("SECRET_NAME", "database-password"),
        ("API_TOKEN", "short"),
        ("KEYBOARD_LAYOUT", "german-dvorak"),
    ],
)
def test_variables_that_hold_no_secret_are_left_alone(name: str, value: str) -> None:
    assert redact(f"see {value} there", {name: value}) == f"see {value} there"


def test_this_processes_own_environment_is_the_default() -> None:
    os.environ["SLIPWAY_TEST_TOKEN"] = "planted-in-the-environment"
    try:
        assert redact("x planted-in-the-environment y") == f"x {MASK} y"
    finally:
        del os.environ["SLIPWAY_TEST_TOKEN"]


@pytest.mark.parametrize("place", PLACES)
def test_masking_twice_changes_nothing_more(place: str) -> None:
    once = redact(place.format(s="S3cret" * 8), {})
    assert redact(once, {}) == once
