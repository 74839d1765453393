"""Who may call a service: anybody, or the bearers of ID tokens that its IAM policy lets in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from infra.emulator.iam.identity import Identity
from infra.emulator.iam.policies import Policies
from infra.emulator.kernel.errors import RpcError

PERMISSION = "run.routes.invoke"
IAP_PERMISSION = "iap.webServiceVersions.accessViaIAP"


class Invoker:
    def __init__(self, policies: Policies, identity: Identity) -> None:
        self._policies, self._identity = policies, identity

    def refusal(self, service: Any, audiences: Sequence[str], headers: Mapping[str, str]) -> int:
        """The HTTP status to refuse a request with: 401 for a bad token, 403 for lack of permission; 0 to let it in."""
        if service.invoker_iam_disabled or self._policies.allowed("", PERMISSION, service.name):
            return 0
        header = headers.get("X-Serverless-Authorization") or headers.get("Authorization") or ""
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer":
            return 403
        try:
            claims = self._identity.id_tokens.claims(token)
        except RpcError:
            return 401
        if str(claims.get("aud", "")).rstrip("/") not in {*audiences, *service.custom_audiences}:
            return 401
        allowed = self._policies.allowed(str(claims.get("email", "")), PERMISSION, service.name)
        return 0 if allowed else 403

    def iap_refusal(self, service: Any, headers: Mapping[str, str]) -> web.Response | None:
        """What Identity-Aware Proxy answers instead of the service; None to let the request in.

        https://cloud.google.com/iap/docs/authentication-howto
        """
        scheme, _, token = (headers.get("Proxy-Authorization") or headers.get("Authorization") or "").partition(" ")
        if scheme.lower() != "bearer":
            return _iap(401, "Invalid IAP credentials: empty token")
        try:
            email = str(self._identity.id_tokens.claims(token).get("email", ""))
        except RpcError as error:
            return _iap(401, f"Invalid IAP credentials: {error.status.message}")
        if not self._policies.allowed(email, IAP_PERMISSION, service.name):
            return _iap(403, "You don't have access")
        return None


def _iap(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text, headers={"X-Goog-IAP-Generated-Response": "true"})
