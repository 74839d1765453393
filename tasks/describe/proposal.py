"""What a repository seems to hold: services as plain values, with what only a person can decide about them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from graphlib import CycleError

from tasks.failures.redact import redact
from tasks.manifest.order import dependency_waves
from tasks.names.naming import SERVICE_LIMIT, url_variable

_APP_LIMITS = (10, 20)  # characters: the app's name makes room for those of its services
_SECRET = re.compile(
    r"SECRET|PASSW|PASS$|PWD|TOKEN|(?<!VAL)KEY|CREDENTIAL|PRIVATE|AUTH|SALT|DSN|DATABASE_URL|CONNECTION", re.I
)
_SECRET_LENGTH = 10  # shorter values are words
_IN_URL = re.compile(r"://[^/\s]*:[^/\s]*@")


@dataclass(frozen=True, slots=True)
class Found:
    """One container image that the repository can build; paths are below its root, with "/"."""

    name: str
    source: str  # '.' for the root
    dockerfile: str | None  # below the source; None: buildpacks build it
    port: int | None = None
    args: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    depends_on: tuple[str, ...] = ()
    health: str = ""  # path that tells whether it is healthy; '' where nothing tells
    urls: Mapping[str, str] = field(default_factory=dict)  # variables that hold the URLs of other services, by name
    works: tuple[str, ...] | None = None  # of what nobody asks anything: the arguments it is started with
    migrations: tuple[str, ...] = ()  # entry points of the same image that get a database ready
    decide: tuple[str, ...] = ()  # a sentence each

    @property
    def path(self) -> str:
        """Of the Dockerfile, below the root."""
        return inside(self.source, self.dockerfile or "")


@dataclass(frozen=True, slots=True)
class Proposal:
    """What the first slipway.yaml says."""

    services: tuple[Found, ...]
    notes: tuple[str, ...] = ()  # what was seen and is not among the services, a sentence each


def inside(folder: str, path: str) -> str:
    """A path below a folder that is below the root."""
    return path if folder == "." else f"{folder}/{path}".rstrip("/")


def is_secret(name: str, value: str) -> bool:
    """Whether a variable seems to hold what nobody may read in slipway.yaml; rather once too often."""
    return bool(_SECRET.search(name) or _IN_URL.search(value))


def is_secret_value(name: str, value: str) -> bool:
    """Whether what a variable holds seems to be a secret itself, and not only what tells where one is."""
    said = f"{name}={value}"
    return bool(_IN_URL.search(value)) or (len(value) >= _SECRET_LENGTH and redact(said, {}) != said)


def name_of(text: str, limit: int, otherwise: str = "app") -> str:
    """The text as the name of an app or service: lower-case letters, digits and hyphens."""
    slug = re.sub(r"[^a-z0-9]+", "-", text.lower()).lstrip("-0123456789")[:limit].strip("-")
    return slug or otherwise


def app_name(folder: str, proposal: Proposal) -> str:
    """What the app in a folder is called."""
    longest = max((len(name_of(each.name, SERVICE_LIMIT)) for each in proposal.services), default=0)
    least, most = _APP_LIMITS
    return name_of(folder, min(max(SERVICE_LIMIT - 1 - longest, least), most))


def named(proposal: Proposal, app: str) -> Proposal:
    """With names that slipway.yaml takes, each only once, and dependencies that lead to them."""
    names: list[str] = []
    found = proposal.services
    for each in found:
        names.append(_free_name(each.name or "web", app, names))
    new = dict(zip((each.name for each in found), names, strict=True))
    services = []
    for name, each in zip(names, found, strict=True):
        asked = {other.name for other in found if other.works is None}
        needed = tuple(new[other] for other in each.depends_on if other in asked and each.works is None)
        urls = {variable: new[other] for variable, other in each.urls.items() if other in asked and each.works is None}
        own = {url_variable(other) for other in needed}
        env = {key: value for key, value in each.env.items() if key not in own}
        services.append(_told(replace(each, name=name, depends_on=needed, env=env), urls))
    if not _has_order(services):
        services = [_told(each, {}) for each in services]
    if not _has_order(services):
        services = [replace(each, depends_on=()) for each in services]
    return replace(proposal, services=tuple(services))


def _told(found: Found, urls: Mapping[str, str]) -> Found:
    """With these of its addresses of others; the rest is a person's to say."""
    lost = ", ".join(variable for variable in found.urls if variable not in urls)
    decide = (*found.decide, f"env, addresses that only hold in compose: {lost}.") if lost else found.decide
    return replace(found, urls=urls, decide=decide)


def _has_order(services: Sequence[Found]) -> bool:
    try:
        list(dependency_waves({each.name: (*each.depends_on, *each.urls.values()) for each in services}))
    except CycleError:
        return False
    return True


def _free_name(text: str, app: str, taken: Collection[str]) -> str:
    """A name that no other service has, and that is short enough beside the app's."""
    limit = max(SERVICE_LIMIT - len(app) - 1, 1)
    name = name_of(text, limit, "web"[:limit])
    number = 2
    while name in taken:
        name = f"{name_of(text, max(limit - len(str(number)) - 1, 1), 'web'[:limit])}-{number}"
        number += 1
    return name
