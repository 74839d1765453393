"""OpenAPI 2.0. https://cloud.google.com/api-gateway/docs/openapi-limitations"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.emulator.apigateway.openapi import extensions, schemas
from infra.emulator.apigateway.openapi.extensions import BACKEND
from infra.emulator.apigateway.openapi.reader import Reader
from infra.emulator.apigateway.openapi.refusal import refused
from infra.emulator.apigateway.openapi.surface import Backend, KeyPlace, Provider, Surface

ALLOW, ENDPOINTS = "x-google-allow", "x-google-endpoints"


class Swagger(Reader):
    def surface(self, taken: dict[str, str]) -> Surface:
        schemas.check(self.document)
        if ":" in str(self.document.get("host", "")):
            raise refused("The 'host' value must not have a port.", self.file)
        return super().surface(taken)

    def base_path(self) -> str:
        return str(self.document.get("basePath", "")).rstrip("/")

    def default_backend(self) -> Backend | None:
        said = self.document.get(BACKEND)
        return None if said is None else extensions.backend(said, f"{self.file}: {BACKEND}", constant=False)

    def backend_of(self, operation: Mapping[str, Any], where: str) -> Backend | None:
        said = operation.get(BACKEND)
        return None if said is None else extensions.backend(said, where, constant=True)

    def key(self, name: str) -> KeyPlace | None:
        return extensions.key_place(self._scheme(name))

    def provider(self, name: str) -> Provider | None:
        prefix = "x-google-"
        scheme = self._scheme(name)
        said = {key.removeprefix(prefix): value for key, value in scheme.items() if key.startswith(prefix)}
        return extensions.provider(said)

    def _scheme(self, name: str) -> Mapping[str, Any]:
        """Empty for one that is not defined: requirements that name it are ignored."""
        return dict(self.document.get("securityDefinitions", {}).get(name, {}))

    def allows_all(self) -> bool:
        said = self.document.get(ALLOW, "configured")
        if str(said).lower() not in ("all", "configured"):
            raise refused(f"Only allowed values for {ALLOW} are all|configured", f"{self.file}: {ALLOW}")
        return str(said).lower() == "all"

    def allows_cors(self) -> bool:
        said = self.document.get(ENDPOINTS, [])
        if len(said) > 1:
            raise refused(
                f"OpenAPI spec is invalid. Multiple endpoint entries are defined in the extension '{ENDPOINTS}'. At "
                "most one entry is allowed.",
                f"{self.file}: {ENDPOINTS}",
            )
        return any(each.get("allowCors") for each in said)
