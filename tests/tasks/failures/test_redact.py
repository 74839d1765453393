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
    "https://hooks.slack.com/services/T000/B000/{s}",
    "https://discord.com/api/webhooks/123/{s}",
    "https://api.telegram.org/bot123:{s}/sendMessage",
    "https://acme.webhook.office.com/webhookb2/{s}@7/IncomingWebhook/{s}/8",
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


def test_real_error_messages_hold_no_secret_and_are_unchanged() -> None:
    rows = [json.loads(line) for line in (Path(__file__).parents[2] / "data/messages.jsonl").read_text().splitlines()]
    assert {row["id"]: masked for row in rows if (masked := redact(row["text"], {})) != row["text"]} == {}


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


# ---- every word and every shape on its own, at its shortest --------------------------------------------------------

TOKENS = [
    "ya29.a",
    "1//" + "a" * 20,
    "GOCSPX-" + "a" * 20,
    "AIza" + "a" * 30,
    "eyJ" + "a" * 8 + "." + "b" * 4,
    *(f"gh{kind}_" + "a" * 20 for kind in "oprsu"),
    "github_pat_" + "a" * 20,
    *(f"gl{kind}-" + "a" * 16 for kind in ("pat", "rt", "dt", "ptt", "cbt", "oas", "soat", "ft", "imt")),
    "npm_" + "a" * 30,
    "pypi-AgEI" + "a" * 20,
    *(f"dckr_{kind}at_" + "a" * 20 for kind in "op"),
    "hf_" + "a" * 30,
    "SG." + "a" * 20 + "." + "b" * 40,
    "whsec_" + "a" * 20,
    *(f"xox{kind}-" + "a" * 10 for kind in "abeoprs"),
    *(
        f"{key}k{dash}{kind}{dash}" + "a" * 16
        for key in "rs"
        for kind in ("live", "test", "ant", "proj")
        for dash in "-_"
    ),
    *(f"A{kind}IA" + "A0" * 8 for kind in "KS"),
]


@pytest.mark.parametrize("token", TOKENS)
def test_a_token_is_known_by_its_shape(token: str) -> None:
    assert redact(f"see {token} there", {}) == f"see {MASK} there"


@pytest.mark.parametrize("token", TOKENS)
def test_what_is_shorter_than_any_token_is_none(token: str) -> None:
    assert redact(f"see {token[:-1]} there", {}) == f"see {token[:-1]} there"


@pytest.mark.parametrize("token", [token for token in TOKENS if not token.startswith("ya29")])
def test_what_stands_within_a_word_is_no_token(token: str) -> None:
    assert redact(f"see x{token} there", {}) == f"see x{token} there"


WORDS = """password passwd passphrase pwd secret token credential credentials
    api_key private_key access_key signing_key encryption_key secret_key api-key apikey secret-key"""
VARIABLES = """PASSWORD DB_PASSWORD DB_PASSWORD_OLD PASSWD PASSPHRASE SECRET TOKEN API_KEY APIKEY PRIVATE_KEY PRIVATEKEY
    ACCESS_KEY ACCESSKEY CREDENTIAL CREDENTIALS db_password"""
BEFORE_A_COLON = """password passwd passphrase client_secret client-secret clientsecret
    access_token refresh_token id_token auth_token api_token access-token idtoken
    api_key private_key access_key signing_key encryption_key api-key apikey"""
SIGNATURES = """x-goog-signature x-goog-credential x-goog-security-token
    x-amz-signature x-amz-credential x-amz-security-token signature googleaccessid sig upload_id"""


@pytest.mark.parametrize("word", [*WORDS.split(), *WORDS.upper().split()])
def test_what_is_set_to_a_word_for_secrets_is_masked(word: str) -> None:
    assert redact(f"DB_{word}=hunter2 x", {}) == f"DB_{word}={MASK} x"
    assert redact(f"{word}%3dhunter2&x", {}) == f"{word}%3d{MASK}&x"
    assert redact(f"--{word} hunter2 x", {}) == f"--{word} {MASK} x"
    assert redact(f"--my-db-{word} \t hunter2 x", {}) == f"--my-db-{word} \t {MASK} x"
    assert redact(f'{{"{word}": "hunter2", "x": 1}}', {}) == f'{{"{word}": {MASK}, "x": 1}}'


@pytest.mark.parametrize("word", BEFORE_A_COLON.split())
def test_what_follows_the_colon_after_such_a_word_is_masked(word: str) -> None:
    assert redact(f"{word}: hunter2 x", {}) == f"{word}: {MASK} x"
    assert redact(f"{word}:hunter2", {}) == f"{word}:{MASK}"


@pytest.mark.parametrize("word", SIGNATURES.split())
def test_what_signs_a_url_is_masked(word: str) -> None:
    assert redact(f"https://x/y?a=1&{word}=a,b;c&b=2", {}) == f"https://x/y?a=1&{word}={MASK}&b=2"
    assert redact(f"https://x/y?{word}=abc", {}) == f"https://x/y?{word}={MASK}"
    for mark in ("%3f", "%26"):
        assert redact(f"next={mark}{word}%3da,b;c&b=2", {}) == f"next={mark}{word}%3d{MASK}&b=2"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ('password = "a \\" b" c', "password = *** c"),
        ("password='a b' c", "password=*** c"),
        ('password=\\"a b\\" c', "password=*** c"),
        ('password=\\"a\\" c=\\"b\\"', 'password=*** c=\\"b\\"'),
        ('password="" c', "password=*** c"),
        ("password='' c", "password=*** c"),
        ('password=\\"\\" c', "password=*** c"),
        *((f"password=a{end}b", f"password=***{end}b") for end in " \t\n\\&,;)}]>"),
        ('"password" : "a \\" b", c', '"password" : ***, c'),
        ("'password':'a b', c", "'password':***, c"),
        ('"password":""', '"password":***'),
        ("'password':''", "'password':***"),
        ('{\\"password\\": \\"a b\\", c}', '{\\"password\\": ***, c}'),
        ('{\\"password\\": \\"\\", \\"c\\": 1}', '{\\"password\\": ***, \\"c\\": 1}'),
        ("token: abcdefghijklmno1", "token: ***"),
        ("secret:abcdefghijklmno1", "secret:***"),
        ("secret: 1abcdefghijklmno", "secret: ***"),
        ("authorization: bearer abc", "authorization: bearer ***"),
        ('"authorization": "basic  abc"', '"authorization": "basic  ***"'),
        ("authorization=token abc,", "authorization=token ***,"),
        ("authorization:abcdefghijklmnop", "authorization:***"),
        ('authorization: bearer "abc', 'authorization: bearer "abc'),
        ("authorization:bearer abc", "authorization:bearer ***"),
        ("a bearer   abcdefghij.~+/-abcde b", "a bearer   *** b"),
        ("authorization: abcdefghijklmnop", "authorization: ***"),
        ("'authorization' : 'abcdefghijklmnop'", "'authorization' : '***'"),
        ("a bearer abcdefghij.~+/-abcde== b", "a bearer *** b"),
        ("https://:abc@host/path", "https://***@host/path"),
        ("https://user:abc@host/path", "https://***@host/path"),
        ("https://" + "u" * 100 + ":abc@host/path", "https://***@host/path"),
        ("https://abcdefghij.-abcdefgh@host", "https://***@host"),
        ("-----BEGIN PRIVATE KEY-----a\n-----END PRIVATE KEY----- b", "*** b"),
        ("-----BEGIN EC PRIVATE KEY-----a-----END EC PRIVATE KEY----- b", "*** b"),
        ("-----BEGIN PRIVATE KEY----------END PRIVATE KEY----- b", "*** b"),
        ("-----BEGIN PRIVATE KEY-----a+/=\\n b", "***"),
        ("-----BEGIN PRIVATE KEY-----", "***"),
        ("-----BEGIN PRIVATE KEY-----a!", "***!"),
        (
            "-----BEGIN PRIVATE KEY-----a-----END PRIVATE KEY----- b -----BEGIN PRIVATE KEY-----c"
            "-----END PRIVATE KEY-----",
            "*** b ***",
        ),
        ("eyJabcdefgh.abcd.sig-_ x", "*** x"),
        ("eyJabcdefgh.abcd. x", "*** x"),
        ("ya29.a-b_c.d x", "*** x"),
    ],
)
def test_a_secret_goes_to_its_end_and_no_further(text: str, masked: str) -> None:
    assert redact(text, {}) == masked


@pytest.mark.parametrize(
    "text",
    [
        "--set-secrets=projects/p/secrets/NAME:latest",
        "secret = projects/p/secrets/NAME",
        "--secret --version 3",
        '"secret": "projects/p/secrets/NAME"',
        '{\\"secret\\": \\"projects/p/secrets/NAME\\"}',
        "token: abcdefghijklmn1",
        "token: abcdefghijklmnopqrst",
        "secret: projects/p/secrets/name-with-1",
        "authorization: abcdefghijklmno",
        "bearer abcdefghijklmnopqrs",
        "https://abcdefghijklmnopqrs@host",
        "https://host/path:with@at",
        "-----BEGIN CERTIFICATE-----a-----END CERTIFICATE-----",
        "AKIA" + "A0" * 8 + "0",
        "eyJabcdefg.abcd",
        "authorization: bearerabc",
        "forbearer abcdefghijklmnopqrstu",
        "a bearerabcdefghijklmnopqrstu",
        "https://user:@host/path",
    ],
)
def test_what_only_looks_like_a_secret_is_left_alone(text: str) -> None:
    assert redact(text, {}) == text


@pytest.mark.parametrize(
    "name",
    VARIABLES.split(),
)
def test_a_variable_is_secret_by_its_name_from_eight_characters_on(name: str) -> None:
    assert redact("see eight888 there", {name: "eight888"}) == f"see {MASK} there"
    assert redact("see seven77 there", {name: "seven77"}) == "see seven77 there"


@pytest.mark.parametrize("end", ["FILE", "PATH", "DIR", "NAME", "ID", "BLOCK", "file"])
def test_a_variable_that_says_where_a_secret_is_holds_none(end: str) -> None:
    assert redact("see eight888 there", {f"DB_PASSWORD_{end}": "eight888"}) == "see eight888 there"
    assert redact("see eight888 there", {f"DB_PASSWORD_{end}S": "eight888"}) == f"see {MASK} there"


def test_the_longer_of_two_values_is_masked_first() -> None:
    environment = {"A_TOKEN": "planted1", "B_TOKEN": "more-planted1-more"}
    assert redact("x more-planted1-more y planted1 z", environment) == f"x {MASK} y {MASK} z"


@pytest.mark.parametrize("spelling", ["pass word/1+2", "pass%20word/1%2B2", "pass%20word%2F1%2B2", "pass+word%2F1%2B2"])
def test_a_value_is_masked_in_the_spelling_of_paths_queries_and_forms(spelling: str) -> None:
    assert redact(f"see {spelling} there", {"MY_TOKEN": "pass word/1+2"}) == f"see {MASK} there"


def test_a_value_is_masked_as_json_spells_it() -> None:
    assert redact(r"see pass\"word\n there", {"MY_TOKEN": 'pass"word\n'}) == f"see {MASK} there"


def test_the_mask_tells_nothing() -> None:
    assert MASK == "***"
