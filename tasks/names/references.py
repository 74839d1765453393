"""Image references: where an image is, what it is called there, and which one of that name is meant. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote

from tasks.names import resources

_HOST = "-docker.pkg.dev"
# Google's own public image holds a new service's traffic until the first release is proven: Cloud Run takes no
# traffic split when a service is created, so the first candidate could not be kept dark otherwise.
PLACEHOLDER_IMAGE = "us-docker.pkg.dev/cloudrun/container/hello"


@dataclass(frozen=True, slots=True)
class Package:
    """One image name in a repository of Artifact Registry: https://cloud.google.com/artifact-registry/docs/docker/names"""

    project: str
    location: str
    repository_id: str
    name: str  # the image's path in the repository; may contain slashes

    @property
    def uri(self) -> str:
        """europe-west1-docker.pkg.dev/acme/shop/api"""
        return f"{self.location}{_HOST}/{self.project}/{self.repository_id}/{self.name}"

    @property
    def repository(self) -> str:
        """projects/acme/locations/europe-west1/repositories/shop"""
        return resources.repository(self.project, self.location, self.repository_id)

    @classmethod
    def parse(cls, uri: str) -> Package | None:
        """Of an image's name without tag and digest; None when it is none of Artifact Registry."""
        host, *path = uri.split("/")
        if not host.endswith(_HOST) or len(path) < 3:
            return None
        return cls(path[0], host.removesuffix(_HOST), path[1], "/".join(path[2:]))

    @classmethod
    def of_image(cls, name: str) -> Package:
        """Of the resource `projects/…/repositories/shop/dockerImages/api@sha256:…`, the slashes of `api` escaped."""
        found = resources.parts(name)
        image = unquote(found["dockerImages"].partition("@")[0])
        return cls(found["projects"], found["locations"], found["repositories"], image)


@dataclass(frozen=True, slots=True)
class ImageReference:
    """`uri[:tag][@digest]`, of whichever registry: https://github.com/distribution/reference/blob/main/reference.go"""

    uri: str  # europe-west1-docker.pkg.dev/acme/shop/api, or just nginx
    tag: str = ""
    digest: str = ""  # sha256:…

    @classmethod
    def parse(cls, text: str) -> ImageReference:
        """Never refuses a text: what Google and people write is shown as it is. A port of the host is no tag."""
        named, _, digest = text.partition("@")
        head, slash, last = named.rpartition("/")
        name, _, tag = last.partition(":")
        return cls(f"{head}{slash}{name}", tag, digest)

    def __str__(self) -> str:
        return self.uri + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    @property
    def host(self) -> str:
        """The registry's; without one it is Docker Hub: https://github.com/distribution/reference/blob/main/normalize.go"""
        first, slash, _ = self.uri.partition("/")
        named = "." in first or ":" in first or first == "localhost" or first != first.lower()
        return first if slash and named else "docker.io"

    @property
    def path(self) -> str:
        """What the registry calls the image."""
        return self.uri.removeprefix(f"{self.host}/")

    @property
    def name(self) -> str:
        """The last part of the path, by which mirrors of a registry still call the image."""
        return self.uri.rpartition("/")[2]

    @property
    def selector(self) -> str:
        """What a registry is asked for under the name: a digest, else a tag."""
        return self.digest or self.tag or "latest"

    @property
    def canonical(self) -> str:
        """Equal for references to the same image: next to a digest, a tag is only a comment."""
        return f"{self.uri}@{self.digest}" if self.digest else str(self)

    @property
    def package(self) -> Package | None:
        """Where it is in Artifact Registry; None when it is in another registry."""
        return Package.parse(self.uri)
