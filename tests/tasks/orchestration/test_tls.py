"""Whom HTTPS connections trust."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trustme

from tasks.orchestration.tls import trusted
from tests.conftest import environment


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """The certificate of an authority of our own."""
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    return tmp_path / "ca.pem"


def test_the_authorities_are_read_once() -> None:
    assert trusted() is trusted()


def test_what_the_environment_names_is_trusted_and_nothing_else(authority: Path) -> None:
    usual = trusted()
    with environment({**os.environ, "SSL_CERT_FILE": str(authority)}):
        assert len(trusted().get_ca_certs()) == 1
    assert trusted() is usual
