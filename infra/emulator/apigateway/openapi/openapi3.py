"""OpenAPI 3.0 and 3.1. https://cloud.google.com/api-gateway/docs/openapi-v3-limitations"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from infra.emulator.apigateway.openapi import extensions
from infra.emulator.apigateway.openapi.extensions import BACKEND
from infra.emulator.apigateway.openapi.reader import VERBS, Reader
from infra.emulator.apigateway.openapi.refusal import refused
from infra.emulator.apigateway.openapi.surface import Backend, KeyPlace, Provider, Surface

MANAGEMENT, ENDPOINT, ALLOW = "x-google-api-management", "x-google-endpoint", "x-google-allow"
REQUIRED = {"info": dict, "paths": dict}


class OpenApi3(Reader):
    def surface(self, taken: dict[str, str]) -> Surface:
        self._check_document()
        return super().surface(taken)

    def _check_document(self) -> None:
        for field, kind in REQUIRED.items():
            if not isinstance(self.document.get(field), kind):
                raise self._invalid(f"attribute {field} is missing or of wrong type")
        for field in ("title", "version"):
            if not isinstance(self.document["info"].get(field), str):
                raise self._invalid(f"attribute info.{field} is missing or of wrong type")
        for path, item in self.document["paths"].items():
            for verb in VERBS:
                if isinstance(item, dict) and verb in item and not isinstance(item[verb].get("responses"), dict):
                    raise self._invalid(f"attribute paths.'{path}'({verb}).responses is missing")
        if not self._management().get("backends"):
            raise refused(f"Extension {MANAGEMENT} is required, with at least one of 'backends'.", self.file)
        if ALLOW in self.document:
            raise refused(f"Extension {ALLOW} is not supported in OpenAPI 3.x.", self.file)

    def _invalid(self, what: str) -> Exception:
        return refused(f"Invalid OpenAPI file. Please fix the schema errors:\n{what}", self.file)

    def _management(self) -> Mapping[str, Any]:
        said = self.document.get(MANAGEMENT)
        return said if isinstance(said, Mapping) else {}

    def base_path(self) -> str:
        """That of the one server with Google's extension; a relative address is nothing but a path."""
        marked = [each for each in self.document.get("servers", ()) if ENDPOINT in each]
        if len(marked) > 1:
            raise refused(f"Only one of 'servers' may have the extension {ENDPOINT}.", self.file)
        url = str(marked[0].get("url", "")) if marked else ""
        if url and not url.startswith("/") and "://" not in url:
            raise refused(f"The server's url '{url}' has no scheme and does not begin with '/'.", self.file)
        return (urlsplit(url).path if "://" in url else url).rstrip("/")

    def default_backend(self) -> Backend | None:
        return self._named(self.document.get(BACKEND), f"{self.file}: {BACKEND}", constant=False)

    def backend_of(self, operation: Mapping[str, Any], where: str) -> Backend | None:
        return self._named(operation.get(BACKEND), where, constant=True)

    def _named(self, name: Any, where: str, *, constant: bool) -> Backend | None:
        if name is None:
            return None
        if not isinstance(name, str):
            raise refused(f"Extension {BACKEND} has invalid type. Valid type is java.lang.String", where)
        said = self._management()["backends"].get(name)
        if said is None:
            raise refused(f"Extension {BACKEND} names '{name}', which {MANAGEMENT} does not define.", where)
        if not said.get("jwtAudience") and not said.get("disableAuth"):
            raise refused(f"The backend '{name}' must set jwtAudience or disableAuth.", where)
        return extensions.backend(
            {extensions.snake(key): value for key, value in said.items()}, where, constant=constant
        )

    def key(self, name: str) -> KeyPlace | None:
        return extensions.key_place(self._schemes().get(name))

    def provider(self, name: str) -> Provider | None:
        said = self._schemes().get(name, {}).get("x-google-auth", {})
        return extensions.provider({extensions.snake(key): value for key, value in said.items()})

    def check_requirement(self, name: str, where: str) -> None:
        if name not in self._schemes():
            raise refused(f"The security requirement '{name}' has no definition in components.securitySchemes.", where)

    def _schemes(self) -> Mapping[str, Any]:
        return dict(self.document.get("components", {}).get("securitySchemes", {}))

    def allows_cors(self) -> bool:
        servers = self.document.get("servers", ())
        return any(bool((each.get(ENDPOINT) or {}).get("allowCors")) for each in servers)
