"""The packages of an image as an SPDX 2.3 document: https://spdx.github.io/spdx-spec/v2.3/. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from infra.emulator.artifacts.packages import Package

# https://github.com/package-url/purl-spec/blob/main/PURL-TYPES.rst
PURL = {"Debian": "deb/debian", "Alpine": "apk/alpine", "PyPI": "pypi", "npm": "npm"}
Json = dict[str, Any]


def document(uri: str, digest: str, packages: Sequence[Package], created: str) -> Json:
    """uri: the image's, with its digest. created: UTC, as 2026-01-02T03:04:05Z."""
    root = "SPDXRef-Image"
    found = [_package(number, package) for number, package in enumerate(packages, 1)]
    image = {
        "SPDXID": root,
        "name": uri,
        "versionInfo": digest,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "primaryPackagePurpose": "CONTAINER",
        "checksums": [{"algorithm": "SHA256", "checksumValue": digest.removeprefix("sha256:")}],
    }
    contained = [_related(root, "CONTAINS", each["SPDXID"]) for each in found]
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": uri,
        "documentNamespace": f"https://containeranalysis.googleapis.com/sbom/{quote(uri, safe='')}",
        "creationInfo": {"created": created, "creators": ["Organization: Google LLC", "Tool: Artifact Analysis"]},
        "packages": [image, *found],
        "relationships": [_related("SPDXRef-DOCUMENT", "DESCRIBES", root), *contained],
    }


def _package(number: int, package: Package) -> Json:
    name = re.sub(r"[^A-Za-z0-9.-]", "-", package.name)
    locator = f"pkg:{PURL[package.ecosystem]}/{quote(package.name, safe='/')}@{quote(package.version, safe='')}"
    return {
        "SPDXID": f"SPDXRef-Package-{number}-{name}",
        "name": package.name,
        "versionInfo": package.version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "externalRefs": [
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": locator}
        ],
    }


def _related(one: str, how: str, other: str) -> Json:
    return {"spdxElementId": one, "relationshipType": how, "relatedSpdxElement": other}
