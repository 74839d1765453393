"""Google's extensions, as far as gateways heed them. Names are those of OpenAPI 2.0; 3.x writes them as lowerCamelCase.

https://cloud.google.com/api-gateway/docs/oasv2-extensions, https://cloud.google.com/api-gateway/docs/oasv3-extensions
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from infra.emulator.apigateway.openapi.refusal import refused
from infra.emulator.apigateway.openapi.surface import DEADLINE_S, Backend, KeyPlace, Provider

BACKEND = "x-google-backend"
FIELDS = {
    "address": str, "path_translation": str, "jwt_audience": str, "disable_auth": bool, "deadline": (int, float),
    "protocol": str,
}  # fmt: skip
TRANSLATIONS = ("APPEND_PATH_TO_ADDRESS", "CONSTANT_ADDRESS")
PROTOCOLS = ("h2", "http/1.1")
SCHEMES = ("http", "https")
# https://cloud.google.com/api-gateway/docs/authenticate-api-keys: others are ignored, with a warning
KEY_PLACES = (KeyPlace("key", "query"), KeyPlace("api_key", "query"), KeyPlace("x-api-key", "header"))


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])([A-Z])", lambda found: f"_{found[1].lower()}", name)


def backend(said: Any, where: str, *, constant: bool) -> Backend:
    """`constant`: how paths are translated where the document does not say. Raises Refused."""
    if not isinstance(said, Mapping):
        raise refused(f"Extension {BACKEND} has invalid type. Valid type is java.util.Map", where)
    for name, value in said.items():
        _check_field(name, value, where)
    address = said.get("address", "")
    parts = urlsplit(address)
    if not address:
        raise refused(f"Extension {BACKEND} does not have the required field 'address'.", where)
    if parts.scheme not in SCHEMES or not parts.netloc:
        raise refused(f"The address '{address}' of extension {BACKEND} must have a scheme: http or https.", where)
    if said.get("jwt_audience") and said.get("disable_auth"):
        raise refused(f"Extension {BACKEND} must not have both 'jwt_audience' and 'disable_auth'.", where)
    translation = said.get("path_translation")
    audience = said.get("jwt_audience") or f"{parts.scheme}://{parts.netloc}"
    return Backend(
        address,
        translation == "CONSTANT_ADDRESS" if translation else constant,
        "" if said.get("disable_auth") else audience,
        float(said.get("deadline") or DEADLINE_S),
    )


def _check_field(name: str, value: Any, where: str) -> None:
    kind = FIELDS.get(name)
    if kind is None:
        raise refused(
            f"Extension {BACKEND} cannot be converted into proto type google.api.BackendRule. Details: Cannot find "
            f"field: {name} in message google.api.BackendRule",
            where,
        )
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):  # type: ignore[arg-type]
        raise refused(f"The field '{name}' of extension {BACKEND} has an invalid value: {value!r}.", where)
    for field, allowed in (("path_translation", TRANSLATIONS), ("protocol", PROTOCOLS)):
        if name == field and value not in allowed:
            raise refused(f"Only allowed values for {name} of {BACKEND} are {'|'.join(allowed)}", where)


def key_place(scheme: Any) -> KeyPlace | None:
    """None for a scheme that is no API key, or one that gateways ignore."""
    if not isinstance(scheme, Mapping) or scheme.get("type") != "apiKey":
        return None
    place = KeyPlace(str(scheme.get("name", "")).lower(), str(scheme.get("in", "")))
    return place if place in KEY_PLACES else None


def provider(said: Mapping[str, Any]) -> Provider | None:
    """`said`: x-google-issuer and its kin, without the prefix."""
    if not said.get("issuer"):
        return None
    audiences = said.get("audiences") or ()
    words = audiences.split(",") if isinstance(audiences, str) else audiences
    return Provider(str(said["issuer"]), tuple(word.strip() for word in words), str(said.get("jwks_uri", "")))
