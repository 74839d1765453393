"""Who may call a service: anybody, or the bearers of ID tokens that its IAM policy lets in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from infra.emulator.iam.identity import Identity
from infra.emulator.iam.policies import Policies
from infra.emulator.kernel.errors import RpcError

PERMISSION = "run.routes.invoke"


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
