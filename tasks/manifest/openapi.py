"""The OpenAPI file of the gateway: read from the repository, with the URLs of the services filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tasks.failures.errors import ManifestError
from tasks.failures.spelling import hint
from tasks.names.naming import url_variable

# https://cloud.google.com/api-gateway/docs/openapi-overview
_VERSIONS = {"swagger": re.compile(r"2\.0"), "openapi": re.compile(r"3\.\d+(\.\d+)?")}
_BLANK = re.compile(r"\$\{([A-Z][A-Z0-9_]*_URL)\}")
_BIGGEST = 1 << 20  # https://cloud.google.com/api-gateway/docs/quotas


def read_openapi(folder: Path, name: str) -> str:
    """Raises ManifestError where it is not there, or no OpenAPI document of a version that API Gateway takes."""
    path = folder / name
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = "is not there" if isinstance(error, FileNotFoundError) else "cannot be read"
        raise ManifestError(f"The gateway's OpenAPI file {name} {why}.", "correct provision.gateway.openapi.") from None
    if wrong := trouble(text):
        raise ManifestError(f"The gateway's OpenAPI file {name} {wrong}.", f"correct {name}, and commit it.")
    return text


def trouble(text: str) -> str:
    """What is wrong with it, as far as that is known without Google; '' if nothing is."""
    if len(text.encode()) > _BIGGEST:
        return "is larger than the 1 MB that a gateway takes"
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        return f"is neither YAML nor JSON{f' (line {place.line + 1})' if place else ''}"
    if not isinstance(found, Mapping):
        return "is no OpenAPI document"
    return _wrong_version(found) or ("has no paths" if not found.get("paths") else "")


def _wrong_version(found: Mapping[str, Any]) -> str:
    said = next((key for key in _VERSIONS if key in found), None)
    if said is None:
        return "says neither swagger: '2.0' nor openapi: 3.0.x"
    return "" if _VERSIONS[said].fullmatch(str(found[said])) else f"says {said}: {found[said]}, which no gateway takes"


def blanks(text: str) -> frozenset[str]:
    """The variables that it leaves to be filled in, such as WEB_URL."""
    return frozenset(_BLANK.findall(text))


def services_in(text: str, services: Mapping[str, object]) -> dict[str, str]:
    """The service of each blank. Raises ManifestError for one of no service."""
    by_variable = {url_variable(name): name for name in services}
    for blank in sorted(blanks(text) - by_variable.keys()):
        raise ManifestError(
            f"The gateway's OpenAPI file has ${{{blank}}} in it, which is no service's{hint(blank, by_variable)}.",
            "it may have " + ", ".join(f"${{{each}}}" for each in sorted(by_variable)) + ".",
        )
    return {blank: by_variable[blank] for blank in blanks(text)}


def filled(text: str, urls: Mapping[str, str]) -> bytes:
    """urls: by variable."""
    return _BLANK.sub(lambda found: urls[found[1]], text).encode()
