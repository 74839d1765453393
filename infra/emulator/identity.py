"""Who is calling: service accounts with real keys, self-signed JWTs, and tokens minted here."""

from __future__ import annotations

import base64
import json
import secrets
import time
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import crypt, jwt

from infra.emulator.errors import unauthenticated
from infra.emulator.store import Store

TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address, not a secret
ISSUER = "https://accounts.google.com"
LIFETIME_S = 3600


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

    def create_key(self, email: str, project_id: str) -> dict[str, str]:
        """A new key of a service account, in the form of a service-account JSON file."""
        private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
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
            private, key_id = rsa.generate_private_key(public_exponent=65537, key_size=2048), secrets.token_hex(20)
            row = {"email": email, "public": _public_pem(private), "created": time.time()}
            self._keys.put(key_id, row | {"private": _private_pem(private)})
            return self.sign(email, data)
        key_id, row = next(iter(own.items()))
        return key_id, bytes(crypt.RSASigner.from_string(row["private"], key_id).sign(data))

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

    def access_token(self, email: str) -> str:
        token = f"ya29.{secrets.token_urlsafe(48)}"
        self._tokens.put(token, {"email": email, "expires": time.time() + LIFETIME_S})
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
            row = {"pem": _private_pem(rsa.generate_private_key(public_exponent=65537, key_size=2048))}
            self._own.put("private", row)
        key = serialization.load_pem_private_key(row["pem"].encode(), None)
        assert isinstance(key, rsa.RSAPrivateKey)
        return key

    def _signer(self) -> crypt.RSASigner:
        signer: crypt.RSASigner = crypt.RSASigner.from_string(_private_pem(self._own_private()), "emulator")
        return signer


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
