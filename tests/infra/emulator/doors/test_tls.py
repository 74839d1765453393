"""The certificates behind which the local cloud is every Google host."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from infra.emulator.doors.tls import Certificates, certificates


def shake_hands(server: Certificates, trusted: Path, host: str) -> None:
    """A whole TLS handshake in memory; raises SSLError if the client does not believe the server."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context(cafile=trusted)
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=host),
        server.server_context().wrap_bio(to_server, to_client, server_side=True),
    ]
    while ends:
        end = ends.pop(0)
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            ends.append(end)


@pytest.mark.parametrize(
    "host",
    [
        *("run.googleapis.com", "bucket.storage.googleapis.com", "europe-west1-docker.pkg.dev", "gcr.io"),
        *("eu.gcr.io", "api-1234.a.run.app", "api.run.app", "accounts.google.com"),
    ],
)
def test_clients_that_trust_the_authority_take_it_for_googles_hosts(tmp_path: Path, host: str) -> None:
    made = certificates(tmp_path / "certs")
    for trusted in (made.authority, made.bundle):
        shake_hands(made, trusted, host)


def test_other_hosts_and_other_authorities_are_not_believed(tmp_path: Path) -> None:
    made, other = certificates(tmp_path / "certs"), certificates(tmp_path / "other")
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        shake_hands(made, made.authority, "example.com")
    with pytest.raises(ssl.SSLCertVerificationError, match=r"unable to get local issuer|self-signed"):
        shake_hands(made, other.authority, "run.googleapis.com")


def test_who_trusted_it_before_a_restart_trusts_it_after(tmp_path: Path) -> None:
    bundle = certificates(tmp_path).bundle
    before = bundle.read_bytes()
    again = certificates(tmp_path)
    assert bundle.read_bytes() == before
    shake_hands(again, bundle, "run.googleapis.com")


def test_only_the_user_can_read_the_authoritys_key(tmp_path: Path) -> None:
    certificates(tmp_path)
    assert (tmp_path / "ca.key").stat().st_mode & 0o077 == 0


def test_an_authority_without_its_key_is_replaced(tmp_path: Path) -> None:
    certificates(tmp_path)
    (tmp_path / "ca.key").unlink()
    made = certificates(tmp_path)
    shake_hands(made, made.bundle, "run.googleapis.com")
