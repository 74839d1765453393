"""Who calls an operation: the API key and the token that it asks for.

What a gateway says of callers that it turns away is what ESPv2 says, which Google's gateways run:
https://github.com/GoogleCloudPlatform/esp-v2
"""

from __future__ import annotations

import base64
import json
from typing import Any

from aiohttp import web
from google.auth import jwt

from infra.emulator.apigateway.answers import Answer
from infra.emulator.apigateway.openapi.surface import KeyPlace, Operation, Provider
from infra.emulator.apikeys.restrictions import allows_caller, allows_service
from infra.emulator.apikeys.state import ApiKeys
from infra.emulator.iam.identity import Identity
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import RpcError
from infra.emulator.projects.projects import Projects

GOOGLE = ("https://accounts.google.com", "accounts.google.com")


class Callers:
    def __init__(self, cloud: Cloud) -> None:
        self._keys, self._projects, self._identity = cloud.get(ApiKeys), cloud.get(Projects), cloud.get(Identity)

    def check_key(self, request: web.Request, operation: Operation, managed_service: str) -> None:
        """Raises Answer. https://cloud.google.com/api-gateway/docs/authenticate-api-keys"""
        if not operation.keys:
            return
        given = next(filter(None, (_given(request, place) for place in operation.keys)), "")
        if not given:
            raise Answer(
                401,
                "UNAUTHENTICATED:Method doesn't allow unregistered callers (callers without established identity). "
                "Please use API Key or other form of API consumer identity to call this API.",
            )
        project, key = self._keys.holder(given)
        if key is None or key.HasField("delete_time"):
            raise Answer(400, "INVALID_ARGUMENT:API key not valid. Please pass a valid API key.")
        if managed_service not in self._projects.enabled(project):
            raise Answer(403, f"PERMISSION_DENIED:API {managed_service} is not enabled for the project.")
        if not allows_service(key, managed_service):
            raise Answer(403, "PERMISSION_DENIED:The API targeted by this request is invalid for the given API key.")
        if not allows_caller(key, request.remote or "", request.headers.get("Referer", "")):
            raise Answer(403, "PERMISSION_DENIED:The client application is blocked by the restrictions of the API key.")

    def user_info(self, request: web.Request, operation: Operation) -> str:
        """The claims of the caller's token, as the backend is told them; '' where none is asked for. Raises Answer.

        https://cloud.google.com/api-gateway/docs/authenticating-users-jwt
        """
        if not operation.providers:
            return ""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        token = token if scheme.lower() == "bearer" else request.query.get("access_token", "")
        if not token:
            raise Answer(401, "Jwt is missing")
        claims = self._claims(token, operation.providers)
        return base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")

    def _claims(self, token: str, providers: tuple[Provider, ...]) -> dict[str, Any]:
        try:
            issuer = str(jwt.decode(token, verify=False).get("iss", ""))
        except ValueError:
            raise Answer(
                401, "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections"
            ) from None
        provider = next((each for each in providers if each.issuer == issuer), None)
        if provider is None:
            raise Answer(401, "Jwt issuer is not configured")
        claims = self._verified(token, issuer)
        audiences = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        if provider.audiences and not set(provider.audiences) & set(audiences):
            raise Answer(403, "Audiences in Jwt are not allowed")
        return claims

    def _verified(self, token: str, issuer: str) -> dict[str, Any]:
        """Google's ID tokens, and what a service account has signed; nobody else's keys are on this machine."""
        if issuer in GOOGLE:
            try:
                return self._identity.id_tokens.claims(token)
            except RpcError:
                raise Answer(401, "Jwt verification fails") from None
        key = self._identity.keys.get(str(jwt.decode_header(token).get("kid")))
        if key.get("email") != issuer:
            raise Answer(401, "Jwks remote fetch is failed")
        try:
            return dict(jwt.decode(token, certs=key["public"]))
        except ValueError as error:
            raise Answer(401, "Jwt is expired" if "expired" in str(error) else "Jwt verification fails") from None


def _given(request: web.Request, place: KeyPlace) -> str:
    return (request.query if place.where == "query" else request.headers).get(place.name, "")
