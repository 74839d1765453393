"""The connections of synchronous libraries: whom they trust, and that they are kept."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import requests
import trustme
from google.auth.credentials import AnonymousCredentials

from infra.gcp.calls.sessions import read_ahead, session
from tests.conftest import environment

URL = "https://storage.googleapis.com/storage/v1/b/nobody-has-this-bucket"


def test_all_who_call_with_the_same_credentials_share_their_connections(cloud_env: dict[str, str]) -> None:
    credentials = AnonymousCredentials()
    assert session(credentials) is session(credentials)
    assert session(credentials) is not session(AnonymousCredentials())


def test_what_the_environment_names_is_trusted_and_nothing_else(cloud_env: dict[str, str], tmp_path: Path) -> None:
    ours = session(AnonymousCredentials())
    assert ours.get(URL, timeout=30).status_code == requests.codes.not_found
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    with environment({**os.environ, "REQUESTS_CA_BUNDLE": str(tmp_path / "ca.pem")}):
        with pytest.raises(requests.exceptions.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
            session(AnonymousCredentials()).get(URL, timeout=30)
        with pytest.raises(requests.exceptions.SSLError):
            ours.get(URL, timeout=30)
    assert ours.get(URL, timeout=30).status_code == requests.codes.not_found


def test_authorities_that_are_read_ahead_are_those_that_connections_trust(cloud_env: dict[str, str]) -> None:
    read_ahead()
    assert session(AnonymousCredentials()).get(URL, timeout=30).status_code == requests.codes.not_found
