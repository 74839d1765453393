"""OAuth 2.0: the token end point for service accounts and people, Google's public keys, and what a token says.

https://developers.google.com/identity/protocols/oauth2/service-account
"""

from __future__ import annotations

import time
from typing import Any

from aiohttp import web

from infra.emulator.iam.identity import Identity
from infra.emulator.iam.keys import LIFETIME_S
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import RpcError
from infra.emulator.kernel.handlers import Call, route

OAUTH, WWW = "oauth2.googleapis.com", "www.googleapis.com"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
REFRESH = "refresh_token"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"


class OAuth:
    def __init__(self, cloud: Cloud) -> None:
        self._identity = cloud.get(Identity)

    @route("POST", "/token", method="oauth2.token", host=OAUTH, anonymous=True)
    @route("POST", "/oauth2/v4/token", method="oauth2.token", host=WWW, anonymous=True)
    async def token(self, request: web.Request, _: Call) -> web.Response:
        form = {key: str(value) for key, value in (await request.post()).items()}
        if form.get("grant_type") == REFRESH:
            return self._refresh(form)
        if form.get("grant_type") != JWT_BEARER:
            return _refused("unsupported_grant_type", f"Invalid grant_type: {form.get('grant_type', '')}")
        try:
            return web.json_response(self._identity.exchange(form.get("assertion", "")))
        except RpcError:
            return _refused("invalid_grant", "Invalid JWT Signature.")

    def _refresh(self, form: dict[str, str]) -> web.Response:
        """For a person: an access token. Google's ID tokens for people have the client for their audience, always."""
        try:
            email = self._identity.users.refreshed(form)
        except RpcError:
            return _refused("invalid_grant", "Bad Request")
        token = self._identity.access_token(email)
        answer = {"access_token": token, "expires_in": LIFETIME_S, "scope": SCOPE, "token_type": "Bearer"}
        return web.json_response({**answer, "id_token": self._identity.id_tokens.issue(email, form["client_id"])})

    @route("GET", "/oauth2/v1/certs", method="oauth2.certs", host=WWW, anonymous=True)
    async def certificates(self, _request: web.Request, _: Call) -> web.Response:
        key_id, pem = self._identity.id_tokens.certificate()
        return web.json_response({key_id: pem})

    @route("GET", "/oauth2/v3/certs", method="oauth2.certs", host=WWW, anonymous=True)
    async def keys(self, _request: web.Request, _: Call) -> web.Response:
        return web.json_response({"keys": [self._identity.id_tokens.jwk()]})

    @route("GET", "/tokeninfo", method="oauth2.tokeninfo", host=OAUTH, anonymous=True)
    @route("POST", "/tokeninfo", method="oauth2.tokeninfo", host=OAUTH, anonymous=True)
    @route("GET", "/oauth2/v3/tokeninfo", method="oauth2.tokeninfo", host=WWW, anonymous=True)
    async def token_info(self, request: web.Request, _: Call) -> web.Response:
        given = {**request.query, **{key: str(value) for key, value in (await request.post()).items()}}
        try:
            return web.json_response(self._described(given))
        except RpcError:
            return _refused("invalid_token", "Invalid Value")

    def _described(self, given: dict[str, str]) -> dict[str, Any]:
        if "id_token" in given:
            return {key: str(value) for key, value in self._identity.id_tokens.claims(given["id_token"]).items()}
        token = self._identity.verify(given.get("access_token", ""))
        left_s = int(token.expires - time.time())
        return {"email": token.email, "email_verified": "true", "scope": SCOPE, "expires_in": str(left_s)}

    @route("GET", "/oauth2/{version}/userinfo", method="oauth2.userinfo", host=WWW)
    @route("GET", "/{version}/userinfo", method="oauth2.userinfo", host="openidconnect.googleapis.com")
    async def user_info(self, _: web.Request, call: Call, version: str) -> web.Response:
        answer = {"sub": call.principal, "email": call.principal, "email_verified": True}
        return web.json_response(answer | ({"id": call.principal} if version in ("v1", "v2") else {}))


def _refused(error: str, description: str) -> web.Response:
    return web.json_response({"error": error, "error_description": description}, status=400)
