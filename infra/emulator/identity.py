"""Who is calling: service accounts with real keys, self-signed JWTs, and tokens minted here."""

from __future__ import annotations

import base64
import datetime
import json
import secrets
import time
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from google.auth import crypt, jwt

from infra.emulator.errors import unauthenticated
from infra.emulator.store import Store

TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address, not a secret
ISSUER = "https://accounts.google.com"
LIFETIME_S = 3600
OWN_KEY_ID = "emulator"


@dataclass(frozen=True)
class Token:
    email: str
    expires: float  # seconds since the epoch


class Identity:
    def __init__(self, store: Store) -> None:
        self._keys = store.values("keys")  # key id -> {email, public, created; private if Google's own}
        self._tokens = store.values("tokens")  # access token -> {email, expires}
        self._own = store.values("own-key")
        self._disabled = store.values("disabled-accounts")  # by e-mail
        self._verified: dict[str, Token] = {}

    def create_key(self, email: str, project_id: str, private: rsa.RSAPrivateKey | None = None) -> dict[str, str]:
        """A new key of a service account, in the form of a service-account JSON file."""
        private = private or new_private_key()
        key_id = secrets.token_hex(20)
        self._keys.put(key_id, {"email": email, "public": _public_pem(private), "created": time.time()})
        return {
            "type": "service_account",
            "project_id": project_id,
            "private_key_id": key_id,
            "private_key": _private_pem(private),
            "client_email": email,
            "client_id": str(int(key_id[:16], 16)),
            "auth_uri": "https://accounts.google.com/o/oauth2/auth",
            "token_uri": TOKEN_URI,
            "universe_domain": "googleapis.com",
        }

    def delete_key(self, key_id: str) -> None:
        self._keys.delete(key_id)
        self._verified.clear()

    def keys(self, email: str) -> dict[str, dict[str, Any]]:
        """An account's keys by id; Google's own ones have a `private` part."""
        rows = ((key_id, self._keys.get(key_id)) for key_id in self._keys.names())
        return {key_id: row for key_id, row in rows if row and row["email"] == email}

    def sign(self, email: str, data: bytes) -> tuple[str, bytes]:
        """Key id and RSA-SHA256 signature by the account's system-managed key, made on first use."""
        own = {key_id: row for key_id, row in self.keys(email).items() if "private" in row}
        if not own:
            private, key_id = new_private_key(), secrets.token_hex(20)
            row = {"email": email, "public": _public_pem(private), "created": time.time()}
            self._keys.put(key_id, row | {"private": _private_pem(private)})
            return self.sign(email, data)
        key_id, row = next(iter(own.items()))
        return key_id, bytes(crypt.RSASigner.from_string(row["private"], key_id).sign(data))

    def sign_jwt(self, email: str, claims: str) -> tuple[str, str]:
        """Key id and token over JSON `claims`, by the account's system-managed key."""
        key_id, _ = self.sign(email, b"")
        signer = crypt.RSASigner.from_string(self.keys(email)[key_id]["private"], key_id)
        return key_id, str(jwt.encode(signer, json.loads(claims)).decode())

    def signed_by(self, email: str, data: bytes, signature: bytes) -> bool:
        """Whether any key of the account made this RSA-SHA256 signature."""
        if email in self._disabled:
            return False
        return any(crypt.verify_signature(data, signature, row["public"]) for row in self.keys(email).values())

    def set_enabled(self, email: str, enabled: bool) -> None:
        """A disabled account's keys and tokens are refused."""
        if enabled:
            self._disabled.delete(email)
        else:
            self._disabled.put(email, {})

    def forget(self, email: str) -> None:
        """Removes an account's keys and tokens."""
        for key_id in self.keys(email):
            self._keys.delete(key_id)
        for token in self._tokens.names():
            if (self._tokens.get(token) or {}).get("email") == email:
                self._tokens.delete(token)
        self.set_enabled(email, True)
        self._verified.clear()

    def access_token(self, email: str, lifetime_s: float = LIFETIME_S) -> str:
        token = f"ya29.{secrets.token_urlsafe(48)}"
        self._tokens.put(token, {"email": email, "expires": time.time() + lifetime_s})
        return token

    def id_token(self, email: str, audience: str) -> str:
        """Signed by the emulator, which stands for accounts.google.com."""
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": audience, "sub": email, "email": email, "email_verified": True}
        return str(jwt.encode(self._signer(), claims | {"iat": now, "exp": now + LIFETIME_S}).decode())

    def exchange(self, assertion: str) -> dict[str, Any]:
        """The token end point: a signed assertion for an access token, or an ID token if it asks for an audience."""
        claims = self._self_signed(assertion)
        email = str(claims["iss"])
        if email in self._disabled:
            raise unauthenticated()
        if audience := claims.get("target_audience"):
            return {"id_token": self.id_token(email, str(audience))}
        return {"access_token": self.access_token(email), "expires_in": LIFETIME_S, "token_type": "Bearer"}

    def principal(self, authorization: str) -> str:
        """The caller's e-mail for an Authorization header; '' without one. Raises UNAUTHENTICATED on a bad one."""
        if not authorization:
            return ""
        scheme, _, credential = authorization.partition(" ")
        if scheme.lower() == "basic":  # docker clients: oauth2accesstoken:<token>, _json_key:<file>
            credential = _basic_password(credential)
        elif scheme.lower() != "bearer":
            raise unauthenticated()
        return self.verify(credential).email

    def verify(self, credential: str) -> Token:
        known = self._verified.get(credential)
        if known is None or known.expires < time.time():
            known = self._verified[credential] = self._check(credential)
        if known.email in self._disabled:
            raise unauthenticated()
        return known

    def _check(self, credential: str) -> Token:
        row = self._tokens.get(credential)
        if row and row["expires"] > time.time():
            return Token(row["email"], row["expires"])
        if credential.startswith("{"):
            return self._key_holder(credential)
        if credential.count(".") != 2 or credential.startswith("ya29."):
            raise unauthenticated()
        claims = self._self_signed(credential)
        return Token(str(claims.get("email") or claims["iss"]), float(claims["exp"]))

    def _key_holder(self, key_file: str) -> Token:
        """Registries take a whole service-account file for a password."""
        try:
            key = json.loads(key_file)
            private = serialization.load_pem_private_key(key["private_key"].encode(), None)
            assert isinstance(private, rsa.RSAPrivateKey)
            known = self._keys.get(key["private_key_id"]) or {}
        except (ValueError, KeyError, TypeError, AssertionError, AttributeError) as error:
            raise unauthenticated() from error
        if known.get("public") != _public_pem(private):
            raise unauthenticated()
        return Token(known["email"], time.time() + LIFETIME_S)

    def id_token_claims(self, token: str) -> dict[str, Any]:
        """The claims of an ID token that this emulator signed; raises UNAUTHENTICATED otherwise."""
        try:
            return dict(jwt.decode(token, certs=_public_pem(self._own_private()), clock_skew_in_seconds=10))
        except Exception as error:
            raise unauthenticated() from error

    def public_certificate(self) -> tuple[str, str]:
        """Key id and X.509 certificate (PEM) of the key that signs ID tokens."""
        private = self._own_private()
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

    def public_jwk(self) -> dict[str, str]:
        """The same key as a JSON Web Key."""
        numbers = self._own_private().public_key().public_numbers()
        return {
            "kty": "RSA",
            "alg": "RS256",
            "use": "sig",
            "kid": OWN_KEY_ID,
            "n": _base64url(numbers.n),
            "e": _base64url(numbers.e),
        }

    def _self_signed(self, token: str) -> dict[str, Any]:
        try:
            key = self._keys.get(str(jwt.decode_header(token).get("kid"))) or {}
            claims = jwt.decode(token, certs=key["public"], clock_skew_in_seconds=10)
        except Exception as error:  # google.auth raises a family of errors, and an unknown key is empty here
            raise unauthenticated() from error
        if claims["iss"] != key["email"]:
            raise unauthenticated()
        return dict(claims)

    def _own_private(self) -> rsa.RSAPrivateKey:
        row = self._own.get("private")
        if row is None:
            row = {"pem": _private_pem(new_private_key())}
            self._own.put("private", row)
        key = serialization.load_pem_private_key(row["pem"].encode(), None)
        assert isinstance(key, rsa.RSAPrivateKey)
        return key

    def _signer(self) -> crypt.RSASigner:
        signer: crypt.RSASigner = crypt.RSASigner.from_string(_private_pem(self._own_private()), OWN_KEY_ID)
        return signer


def new_private_key() -> rsa.RSAPrivateKey:
    """Takes some 50 ms: in a thread, please, while others are being served."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _base64url(number: int) -> str:
    data = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _basic_password(credential: str) -> str:
    try:
        user, _, password = base64.b64decode(credential).decode().partition(":")
        return base64.b64decode(password).decode() if user == "_json_key_base64" else password
    except ValueError as error:
        raise unauthenticated() from error


def _private_pem(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def _public_pem(key: rsa.RSAPrivateKey) -> str:
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


def dump_key(key: dict[str, str]) -> str:
    return json.dumps(key, indent=2)
