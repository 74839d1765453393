"""RSA keys: those of service accounts, made by people or by Google, and the emulator's own that signs ID tokens."""

from __future__ import annotations

import base64
import datetime
import json
import secrets
import time
from collections.abc import Mapping
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from google.auth import crypt, jwt

from infra.emulator.kernel.errors import unauthenticated
from infra.emulator.kernel.store import Store

TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address, not a secret
ISSUER = "https://accounts.google.com"
LIFETIME_S = 3600
OWN_KEY_ID = "emulator"


class AccountKeys:
    """Rows by key id: {email, public, created (seconds since the epoch)}, and `private` if it is Google's own."""

    def __init__(self, store: Store) -> None:
        self._table = store.values("keys")

    def create(self, email: str, project_id: str, private: rsa.RSAPrivateKey | None = None) -> dict[str, str]:
        """A new key of a service account, in the form of a service-account JSON file."""
        private = private or new_private_key()
        key_id = secrets.token_hex(20)
        self._table.put(key_id, {"email": email, "public": public_pem(private), "created": time.time()})
        return {
            "type": "service_account",
            "project_id": project_id,
            "private_key_id": key_id,
            "private_key": private_pem(private),
            "client_email": email,
            "client_id": str(int(key_id[:16], 16)),
            "auth_uri": "https://accounts.google.com/o/oauth2/auth",
            "token_uri": TOKEN_URI,
            "universe_domain": "googleapis.com",
        }

    def adopt(self, file: dict[str, str]) -> None:
        """Makes a key good whose file was given out earlier."""
        private = serialization.load_pem_private_key(file["private_key"].encode(), None)
        assert isinstance(private, rsa.RSAPrivateKey)
        row = {"email": file["client_email"], "public": public_pem(private), "created": time.time()}
        self._table.put(file["private_key_id"], row)

    def get(self, key_id: str) -> dict[str, Any]:
        """Empty for an unknown key."""
        return self._table.get(key_id) or {}

    def of(self, email: str) -> dict[str, dict[str, Any]]:
        """An account's keys by id."""
        rows = ((key_id, self.get(key_id)) for key_id in self._table.names())
        return {key_id: row for key_id, row in rows if row["email"] == email}

    def delete(self, key_id: str) -> None:
        self._table.delete(key_id)

    def sign(self, email: str, data: bytes) -> tuple[str, bytes]:
        """Key id and RSA-SHA256 signature by the account's system-managed key."""
        signer = self._signer(email)
        return str(signer.key_id), bytes(signer.sign(data))

    def sign_jwt(self, email: str, claims: str) -> tuple[str, str]:
        """Key id and token over JSON `claims`, by the account's system-managed key."""
        signer = self._signer(email)
        return str(signer.key_id), str(jwt.encode(signer, json.loads(claims)).decode())

    def _signer(self, email: str) -> crypt.RSASigner:
        """The system-managed key, made on first use."""
        own = {key_id: row["private"] for key_id, row in self.of(email).items() if "private" in row}
        if not own:
            private, key_id = new_private_key(), secrets.token_hex(20)
            own[key_id] = private_pem(private)
            row = {"email": email, "public": public_pem(private), "created": time.time(), "private": own[key_id]}
            self._table.put(key_id, row)
        key_id, pem = next(iter(own.items()))
        signer: crypt.RSASigner = crypt.RSASigner.from_string(pem, key_id)
        return signer

    def signed_by(self, email: str, data: bytes, signature: bytes) -> bool:
        """Whether any key of the account made this RSA-SHA256 signature."""
        return any(crypt.verify_signature(data, signature, row["public"]) for row in self.of(email).values())


class IdTokens:
    """ID tokens, signed by the emulator, which stands for accounts.google.com."""

    def __init__(self, store: Store) -> None:
        self._table = store.values("own-key")

    def issue(self, email: str, audience: str, with_email: bool = True, more: Mapping[str, Any] | None = None) -> str:
        now = int(time.time())
        claims: dict[str, Any] = {"iss": ISSUER, "aud": audience, "sub": email}
        claims |= {"email": email, "email_verified": True} if with_email else {}
        claims |= more or {}
        signer = crypt.RSASigner.from_string(private_pem(self._private()), OWN_KEY_ID)
        return str(jwt.encode(signer, claims | {"iat": now, "exp": now + LIFETIME_S}).decode())

    def claims(self, token: str) -> dict[str, Any]:
        """The claims of a token that was issued here; raises UNAUTHENTICATED otherwise."""
        try:
            return dict(jwt.decode(token, certs=public_pem(self._private()), clock_skew_in_seconds=10))
        except Exception as error:
            raise unauthenticated() from error

    def certificate(self) -> tuple[str, str]:
        """Key id and X.509 certificate (PEM) to verify tokens with."""
        private = self._private()
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "accounts.google.com")])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(private.public_key())
            .serial_number(1)
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=30))
            .sign(private, hashes.SHA256())
        )
        return OWN_KEY_ID, certificate.public_bytes(serialization.Encoding.PEM).decode()

    def jwk(self) -> dict[str, str]:
        """The same key as a JSON Web Key."""
        numbers = self._private().public_key().public_numbers()
        parts = {"n": _base64url(numbers.n), "e": _base64url(numbers.e)}
        return {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": OWN_KEY_ID, **parts}

    def _private(self) -> rsa.RSAPrivateKey:
        row = self._table.get("private")
        if row is None:
            row = {"pem": private_pem(new_private_key())}
            self._table.put("private", row)
        key = serialization.load_pem_private_key(row["pem"].encode(), None)
        assert isinstance(key, rsa.RSAPrivateKey)
        return key


def new_private_key() -> rsa.RSAPrivateKey:
    """Takes some 50 ms: in a thread, please, while others are being served."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def private_pem(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def public_pem(key: rsa.RSAPrivateKey) -> str:
    public = key.public_key()
    return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def _base64url(number: int) -> str:
    data = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
