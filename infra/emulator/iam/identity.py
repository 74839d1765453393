"""Who is calling: service accounts by their keys or self-signed JWTs, and holders of tokens minted here."""

from __future__ import annotations

import base64
import json
import secrets
import time
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import jwt

from infra.emulator.iam.keys import LIFETIME_S, AccountKeys, IdTokens, public_pem
from infra.emulator.iam.users import Users
from infra.emulator.kernel.errors import unauthenticated
from infra.emulator.kernel.store import Store


@dataclass(frozen=True)
class Token:
    email: str  # or principal://… for a federated workload
    expires: float  # seconds since the epoch


class Identity:
    def __init__(self, store: Store) -> None:
        self.keys = AccountKeys(store)
        self.id_tokens = IdTokens(store)
        self.users = Users(store)
        self._tokens = store.values("tokens")  # access token -> {email, expires}
        self._disabled = store.values("disabled-accounts")  # by e-mail
        self._seen = store.values("authentications")  # e-mail -> the day on which it was last used, as Google tells it
        self._verified: dict[str, Token] = {}

    def reset(self) -> None:
        """Believes nobody any more; the store forgets keys and tokens."""
        self._verified.clear()

    def delete_key(self, key_id: str) -> None:
        self.keys.delete(key_id)
        self._verified.clear()

    def set_enabled(self, email: str, enabled: bool) -> None:
        """A disabled account's keys and tokens are refused."""
        if enabled:
            self._disabled.delete(email)
        else:
            self._disabled.put(email, {})

    def forget(self, email: str) -> None:
        """Removes an account's keys and tokens."""
        for key_id in self.keys.of(email):
            self.delete_key(key_id)
        for token in self._tokens.names():
            if (self._tokens.get(token) or {}).get("email") == email:
                self._tokens.delete(token)
        self._seen.delete(email)
        self.set_enabled(email, True)
        self._verified.clear()

    def access_token(self, email: str, lifetime_s: float = LIFETIME_S) -> str:
        token = f"ya29.{secrets.token_urlsafe(48)}"
        self._tokens.put(token, {"email": email, "expires": time.time() + lifetime_s})
        return token

    def exchange(self, assertion: str) -> dict[str, Any]:
        """The token end point: a signed assertion for an access token, or an ID token if it asks for an audience."""
        claims = self._self_signed(assertion)
        email = str(claims["iss"])
        if email in self._disabled:
            raise unauthenticated()
        self._see(email)
        if audience := claims.get("target_audience"):
            return {"id_token": self.id_tokens.issue(email, str(audience))}
        return {"access_token": self.access_token(email), "expires_in": LIFETIME_S, "token_type": "Bearer"}

    def signed_by(self, email: str, data: bytes, signature: bytes) -> bool:
        """Whether an account that is not disabled made this RSA-SHA256 signature."""
        return email not in self._disabled and self.keys.signed_by(email, data, signature)

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
        self._see(known.email)
        return known

    def last_seen(self, email: str) -> str:
        """The beginning of the day on which an account last authenticated, in RFC 3339; '' for never."""
        return str(self._seen.get(email) or "")

    def _see(self, email: str) -> None:
        day = time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime())
        if self._seen.get(email) != day:
            self._seen.put(email, day)

    def _check(self, credential: str) -> Token:
        row = self._tokens.get(credential)
        if row and row["expires"] > time.time():
            return Token(row["email"], row["expires"])
        if credential.startswith("{"):
            return self._key_holder(credential)
        if credential.count(".") != 2 or credential.startswith("ya29."):
            raise unauthenticated()
        claims = self._self_signed(credential)
        return Token(str(claims["iss"]), float(claims["exp"]))

    def _key_holder(self, key_file: str) -> Token:
        """Registries take a whole service-account file for a password."""
        try:
            key = json.loads(key_file)
            private = serialization.load_pem_private_key(key["private_key"].encode(), None)
            assert isinstance(private, rsa.RSAPrivateKey)
            known = self.keys.get(key["private_key_id"])
        except (ValueError, KeyError, TypeError, AssertionError, AttributeError) as error:
            raise unauthenticated() from error
        if known.get("public") != public_pem(private):
            raise unauthenticated()
        return Token(known["email"], time.time() + LIFETIME_S)

    def _self_signed(self, token: str) -> dict[str, Any]:
        """The claims of a JWT that one of an account's keys signed in the name of that account."""
        try:
            key = self.keys.get(str(jwt.decode_header(token).get("kid")))
            claims = jwt.decode(token, certs=key["public"], clock_skew_in_seconds=10)
        except Exception as error:  # google.auth raises a family of errors, and an unknown key is empty here
            raise unauthenticated() from error
        if claims["iss"] != key["email"]:
            raise unauthenticated()
        return dict(claims)


def _basic_password(credential: str) -> str:
    try:
        user, _, password = base64.b64decode(credential).decode().partition(":")
        return base64.b64decode(password).decode() if user == "_json_key_base64" else password
    except ValueError as error:
        raise unauthenticated() from error
