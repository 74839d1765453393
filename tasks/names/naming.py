"""The names that versions, services and configurations get in Google Cloud. Pure: the same input, the same name.

A name that cannot hold its input unchanged ends in a hash of that input, so different inputs keep different names.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from string import ascii_lowercase, digits

from tasks.failures.errors import ManifestError

IMAGE_TAG_LIMIT = 128  # https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests
REVISION_LIMIT = 63  # https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.services.revisions
TAGGED_NAME_LIMIT = (
    46  # traffic tag and service together: https://cloud.google.com/run/docs/rollouts-rollbacks-traffic-migration
)
TRAFFIC_TAG_MINIMUM = 8  # what a tag needs to tell versions apart: a letter and seven hex digits
SERVICE_LIMIT = TAGGED_NAME_LIMIT - TRAFFIC_TAG_MINIMUM  # Cloud Run itself allows 49
EXECUTION_LIMIT = 62  # of a job's name and of what follows it: .../rest/v2/projects.locations.jobs, startExecutionToken
EXECUTION_TOKEN = 12  # hex digits: what tells the executions apart that runs of ours begin
JOB_LIMIT = EXECUTION_LIMIT - EXECUTION_TOKEN
POOL_LIMIT = 49  # https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.workerPools/create
GIVEN_LIMIT = 49  # of a name that somebody gives: all that Cloud Run allows
SHORT_TAGS = 40  # so many are tried for one that nobody has, where a long name leaves room for short ones only

_HASH_LENGTH = 8
_SHORT = 4  # below it hex digits do not tell many versions apart
_RUNS_OF_OTHER = re.compile(r"[^a-z0-9]+")
# Versions whose dots can become hyphens without two of them becoming the same name.
_PLAIN_VERSION = re.compile(r"v\d+\.\d+\.\d+(-[a-z0-9]+(\.[a-z0-9]+)*)?")


def image_tag(version: str) -> str:
    """The version as an image tag: `[A-Za-z0-9_.-]`, at most 128 characters, first neither `.` nor `-`.

    Only the `+` of build metadata is not allowed there and becomes `_`, which no SemVer version contains: v1.2.3+5
    and v1.2.3+6 differ in nothing else and keep different tags, v1.2.3_5 and v1.2.3_6.
    """
    tag = re.sub(r"[^A-Za-z0-9_.-]", "-", version.replace("+", "_"))
    tag = tag if re.match(r"[A-Za-z0-9_]", tag) else f"_{tag}"
    return fitted(tag, version, IMAGE_TAG_LIMIT, changed=tag.replace("_", "+") != version)


def config_digest(config: Mapping[str, object]) -> str:
    """SHA-256, as 64 hex digits, of the configuration's canonical JSON; the order of keys does not matter."""
    canonical = json.dumps(config, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def service_name(app: str, service: str) -> str:
    """The Cloud Run service `<app>-<service>`; ManifestError when it leaves no room for a traffic tag."""
    name = f"{app}-{service}"
    if len(name) > SERVICE_LIMIT:
        raise ManifestError(
            f"the Cloud Run service {name} has {len(name)} characters; {SERVICE_LIMIT} are possible, because its "
            f"name and a traffic tag share the {TAGGED_NAME_LIMIT} that a tag's URL has room for.",
            "shorten the name of the app or of the service, or give it another `name` in Cloud Run.",
        )
    return name


def job_name(app: str, job: str, own: str | None = None) -> str:
    """The Cloud Run job `<app>-<job>`, or `own`; ManifestError when no execution of ours could be named after it."""
    name = own or f"{app}-{job}"
    if len(name) > JOB_LIMIT:
        raise ManifestError(
            f"the Cloud Run job {name} has {len(name)} characters; {JOB_LIMIT} are possible, because its executions "
            "are named after it.",
            "shorten the name of the job, or give it one with `name`.",
        )
    return name


def pool_name(app: str, pool: str, own: str | None = None) -> str:
    """The Cloud Run worker pool `<app>-<pool>`, or `own`; ManifestError when Cloud Run has no room for it."""
    name = own or f"{app}-{pool}"
    if len(name) > POOL_LIMIT:
        raise ManifestError(
            f"the Cloud Run worker pool {name} has {len(name)} characters; {POOL_LIMIT} are possible.",
            "shorten the name of the worker pool, or give it one with `name`.",
        )
    return name


def execution_token(attempt: str, when: str, number: int) -> str:
    """What a run's execution of a job is called after the job: the same however often the run is repeated.

    attempt: what tells the run's shipping of one version from others. number: of the hook, among those of `when`.
    """
    return hashlib.sha256(f"{attempt}\n{when}\n{number}".encode()).hexdigest()[:EXECUTION_TOKEN]


def revision_name(service: str, version: str, config_digest: str) -> str:
    """The revision `<service>-<version>-<hash>`, a DNS label that changes with the version and the configuration.

    `service` is the Cloud Run service. Deploying the same version with the same configuration again finds the
    revision instead of making another.
    """
    digest = _digest(f"{version}\n{config_digest}")
    room = REVISION_LIMIT - len(service) - len(digest) - 2
    return "-".join(part for part in (service, _slug(version, room), digest) if part)


def traffic_tag(service: str, version: str) -> str:
    """The Cloud Run tag of a version: v1.4.0 is served at https://v1-4-0---<service>-….run.app.

    A letter first, then lower-case letters, digits and hyphens, no hyphen last; with the Cloud Run service's name
    at most 46 characters. Of a name longer than `SERVICE_LIMIT` it is what fits, and '' where nothing does.
    """
    return next(iter(traffic_tags(service, version)))


def traffic_tags(service: str, version: str) -> Iterator[str]:
    """Those to choose from for a version, the best first. Short ones are soon alike, so that there are many of them:
    only the few that are in use at a time need to differ.
    """
    room = TAGGED_NAME_LIMIT - len(service)
    yield _tag(version, room)
    if 0 < room < TRAFFIC_TAG_MINIMUM:
        yield from (_short_tag(f"{version}\n{number}", room) for number in range(1, SHORT_TAGS))


def _tag(version: str, room: int) -> str:
    if room < 1:
        return ""
    if room < _SHORT:
        return _short_tag(version, room)
    plain = version.replace(".", "-")
    if _PLAIN_VERSION.fullmatch(version) and len(plain) <= room:
        return plain
    slug = _slug(version, room - _HASH_LENGTH - 1)
    if slug[:1].isalpha():
        return f"{slug}-{_digest(version)}"
    return "v" + _digest(version)[: min(TRAFFIC_TAG_MINIMUM, room) - 1]


def _short_tag(text: str, room: int) -> str:
    number = int(hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest(), 16)
    tag = ascii_lowercase[number % 26]
    number //= 26
    while len(tag) < room:
        number, digit = divmod(number, 36)
        tag += (ascii_lowercase + digits)[digit]
    return tag


def fitted(name: str, text: str, limit: int, changed: bool) -> str:
    """`name` if it fits and says all of `text`, else cut to end in a hash of `text`."""
    if len(name) <= limit and not changed:
        return name
    return f"{name[: limit - _HASH_LENGTH - 1]}-{_digest(text)}"


def url_variable(service: str) -> str:
    """The environment variable that tells a dependent where `service` is: `price-list` gives PRICE_LIST_URL."""
    return service.upper().replace("-", "_") + "_URL"


def _slug(text: str, room: int) -> str:
    return _RUNS_OF_OTHER.sub("-", text.lower())[: max(room, 0)].strip("-")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:_HASH_LENGTH]
