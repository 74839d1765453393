"""The emulator's own certificate authority and the one certificate it shows for every Google host."""

from __future__ import annotations

import datetime
import ssl
from dataclasses import dataclass
from pathlib import Path

import certifi
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

HOSTS = (
    "googleapis.com", "*.googleapis.com", "*.storage.googleapis.com", "*.pkg.dev", "gcr.io", "*.gcr.io",
    "*.googleusercontent.com", "*.run.app", "*.a.run.app", "accounts.google.com",
)  # fmt: skip
DAYS = 825  # the longest that common clients accept of a private authority


@dataclass(frozen=True)
class Certificates:
    authority: Path  # PEM of the authority alone
    bundle: Path  # the usual public roots and the authority, for clients that take one file
    certificate: bytes
    key: bytes

    def server_context(self, folder: Path) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.pem", folder / "server.key")
        context.set_alpn_protocols(["http/1.1"])
        return context


def certificates(folder: Path) -> Certificates:
    """The certificates kept in `folder`, made on first use."""
    if not (folder / "server.pem").exists():
        folder.mkdir(parents=True, exist_ok=True)
        _make(folder)
    return Certificates(
        authority=folder / "ca.pem",
        bundle=folder / "bundle.pem",
        certificate=(folder / "server.pem").read_bytes(),
        key=(folder / "server.key").read_bytes(),
    )


def _make(folder: Path) -> None:
    authority_key, server_key = (
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP256R1()),
    )
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Slipway local Google Cloud")])
    authority = (
        _builder(name, name, authority_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(sign_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "*.googleapis.com")])
    server = (
        _builder(subject, name, server_key)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in HOSTS]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    authority_pem = authority.public_bytes(serialization.Encoding.PEM)
    (folder / "ca.pem").write_bytes(authority_pem)
    (folder / "bundle.pem").write_bytes(Path(certifi.where()).read_bytes() + b"\n" + authority_pem)
    (folder / "server.key").touch(mode=0o600)
    (folder / "server.key").write_bytes(
        server_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    (folder / "server.pem").write_bytes(server.public_bytes(serialization.Encoding.PEM) + authority_pem)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=DAYS))
    )


def _key_usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )
