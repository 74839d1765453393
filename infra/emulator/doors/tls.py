"""The emulator's own certificate authority, and the one certificate it shows for every Google host, and for OSV."""

from __future__ import annotations

import datetime
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import certifi
import trustme

HOSTS = (
    "googleapis.com", "*.googleapis.com", "*.storage.googleapis.com", "*.pkg.dev", "gcr.io", "*.gcr.io",
    "*.googleusercontent.com", "*.run.app", "*.a.run.app", "accounts.google.com", "api.osv.dev",
)  # fmt: skip
DAYS = 825  # the longest that common clients accept of a private authority


@dataclass(frozen=True)
class Certificates:
    authority: Path  # PEM of the authority alone
    bundle: Path  # the usual public roots and the authority, for clients that take one file
    leaf: trustme.LeafCert

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.leaf.configure_cert(context)
        context.set_alpn_protocols(["http/1.1"])
        return context


def certificates(folder: Path, hosts: Sequence[str] = HOSTS, name: str = "Local Google Cloud") -> Certificates:
    """A new certificate for `hosts`, names or addresses, of the authority in `folder`, which is made on first use.

    Clients go on trusting it.
    """
    certificate, key, bundle = folder / "ca.pem", folder / "ca.key", folder / "bundle.pem"
    if key.exists():
        authority = trustme.CA.from_pem(certificate.read_bytes(), key.read_bytes())
    else:
        authority = trustme.CA(path_length=0, organization_name="Slipway", organization_unit_name=name)
        folder.mkdir(parents=True, exist_ok=True)
        authority.cert_pem.write_to_path(certificate)
        bundle.write_bytes(Path(certifi.where()).read_bytes() + b"\n" + authority.cert_pem.bytes())
        key.touch(mode=0o600)
        authority.private_key_pem.write_to_path(key)
    end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=DAYS)
    return Certificates(certificate, bundle, authority.issue_cert(*hosts, common_name=hosts[1], not_after=end))
