"""Names of images as people write them and as the API does.

Not docker-image-py, which knows no resource names: projects/…/dockerImages/….
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from urllib.parse import quote, unquote

from infra.emulator.kernel.errors import invalid

HOST = re.compile(r"([a-z0-9-]+)-docker\.pkg\.dev")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
# https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#pulling-manifests
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
IMAGE = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_REFERENCE = re.compile(
    rf"(?:https?://)?{HOST.pattern}/([a-z0-9.:-]+?)/([a-z0-9.-]+)/({IMAGE.pattern})"
    rf"(?::({TAG.pattern}))?(?:@({DIGEST.pattern}))?"
)


@dataclass(frozen=True, slots=True)
class Reference:
    """One image of a repository; `digest` ('sha256:…') wins over `tag`."""

    repository: str  # projects/p/locations/l/repositories/r
    image: str  # may contain slashes
    tag: str = ""
    digest: str = ""

    @property
    def package(self) -> str:
        """The image's resource name, in which its slashes are encoded."""
        return f"{self.repository}/packages/{quote(self.image, safe='')}"

    @property
    def tag_name(self) -> str:
        return f"{self.package}/tags/{self.tag}"

    @property
    def version(self) -> str:
        return f"{self.package}/versions/{self.digest}"

    @property
    def docker_image(self) -> str:
        return f"{self.repository}/dockerImages/{quote(self.image, safe='')}@{self.digest}"

    @property
    def uri(self) -> str:
        """LOCATION-docker.pkg.dev/PROJECT/REPOSITORY/IMAGE@sha256:…"""
        return f"{registry_uri(self.repository)}/{self.image}@{self.digest}"

    def at(self, digest: str) -> Reference:
        return replace(self, digest=digest)


def parse_reference(text: str) -> Reference:
    """`LOCATION-docker.pkg.dev/PROJECT/REPOSITORY/IMAGE[:TAG][@sha256:…]`; the tag defaults to latest."""
    match = _REFERENCE.fullmatch(text)
    if match is None:
        raise invalid(f"'{text}' is not a valid container image reference.")
    location, project, repository, image, tag, digest = match.groups()
    name = f"projects/{project}/locations/{location}/repositories/{repository}"
    return Reference(name, image, tag or ("" if digest else "latest"), digest or "")


def parse_package(name: str) -> Reference:
    """A package's resource name, or that of a tag or version in it."""
    match = re.fullmatch(r"(.+?)/packages/([^/]+)(?:/tags/([^/]+)|/versions/([^/]+))?", name)
    if match is None:
        raise invalid(f"Invalid resource name: {name}")
    repository, package, tag, digest = match.groups()
    return Reference(repository, unquote(package), tag or "", digest or "")


def parse_docker_image(name: str) -> Reference:
    match = re.fullmatch(rf"(.+?)/dockerImages/([^/@]+)@({DIGEST.pattern})", name)
    if match is None:
        raise invalid(f"Invalid resource name: {name}")
    return Reference(match[1], unquote(match[2]), "", match[3])


def registry_uri(repository: str) -> str:
    """projects/p/locations/l/repositories/r -> l-docker.pkg.dev/p/r"""
    _, project, _, location, _, repository_id = repository.split("/")
    return f"{location}-docker.pkg.dev/{project}/{repository_id}"
