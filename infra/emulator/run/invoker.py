"""Who may call a service: anybody, or the bearers of ID tokens that its IAM policy lets in."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from infra.emulator.iam.identity import Identity
from infra.emulator.iam.policies import Policies
from infra.emulator.kernel.errors import RpcError
from infra.emulator.projects.projects import Projects
from infra.emulator.run.names import ServiceName

PERMISSION = "run.routes.invoke"
IAP_PERMISSION = "iap.webServiceVersions.accessViaIAP"


class Invoker:
    def __init__(self, policies: Policies, identity: Identity, projects: Projects) -> None:
        self._policies, self._identity, self._projects = policies, identity, projects

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
        caller = str(claims.get("email") or claims["sub"])
        return 0 if self._policies.allowed(caller, PERMISSION, service.name) else 403

    def iap_refusal(self, service: Any, headers: Mapping[str, str]) -> web.Response | None:
        """What Identity-Aware Proxy answers instead of the service; None to let the request in.

        https://cloud.google.com/iap/docs/authentication-howto
        """
        scheme, _, token = (headers.get("Proxy-Authorization") or headers.get("Authorization") or "").partition(" ")
        if scheme.lower() != "bearer":
            return _iap(401, "Invalid IAP credentials: empty token")
        try:
            claims = self._identity.id_tokens.claims(token)
        except RpcError as error:
            return _iap(401, f"Invalid IAP credentials: {error.status.message}")
        client, audience = (
            iap_client(self._projects.find(ServiceName.parse(service.name).project).number),
            claims["aud"],
        )
        if audience != client:  # in Google's words, as users quote them
            return _iap(
                401,
                "Invalid IAP credentials: JWT audience doesn't match this application "
                f"('aud' claim ({audience}) doesn't match expected value ({client}))",
            )
        email = str(claims.get("email", ""))
        if not self._policies.allowed(email, IAP_PERMISSION, service.name):
            return _iap(403, "You don't have access")
        return None


def iap_client(project_number: int) -> str:
    """The OAuth client of the project that Identity-Aware Proxy takes ID tokens for.

    https://cloud.google.com/iap/docs/authentication-howto#obtaining_the_client_id
    """
    digest = hashlib.sha256(f"iap {project_number}".encode()).hexdigest()
    return f"{project_number}-{digest[:32]}.apps.googleusercontent.com"


def _iap(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text, headers={"X-Goog-IAP-Generated-Response": "true"})
