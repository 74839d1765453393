"""Where a revision is asked whether it is healthy: at the URL that Cloud Run gives it, or where slipway.yaml says.

A service that only a network or a load balancer lets in is asked through the latter: a serverless network endpoint
group with a URL mask leads to the revision that a tag in the address names.
https://cloud.google.com/load-balancing/docs/negs/serverless-neg-concepts#url_masks
"""

from __future__ import annotations

from tasks.failures.cause import Cause
from tasks.manifest.environment import Environment
from tasks.manifest.manifest import Manifest
from tasks.manifest.settings import Health, ServiceSettings
from tasks.manifest.values import REGION, TAG
from tasks.model import Candidate, Place, Problem

INGRESS, IAP, DEFAULT_URL = "ingress", "iap", "default URL"  # what keeps requests away


def at_tag(health: Health, place: Place, tag: str, url: str) -> str:
    """The address of the revision with this tag, '' for none; `url` is what Cloud Run gives it."""
    if not health.url:
        return url
    if not asks_dark(health):
        return ""
    return _filled(health.url, place, tag) if tag else ""


def an_example(health: Health, place: Place) -> str:
    """What `health.url` may be for one of the revisions, '' where slipway.yaml names none."""
    return _filled(health.url or "", place, "v1-0-0")


def asks_dark(health: Health) -> bool:
    """Whether a revision can be asked by itself, and so before it has traffic."""
    return not health.url or TAG in health.url


def in_front(candidate: Candidate) -> str:
    """Where the service is asked as its users do, as far as that is known: else at the revision's own address."""
    health = candidate.health
    if not health.url:
        return candidate.service_url
    return _filled(health.url, candidate.place, candidate.tag)


def stable_at(candidate: Candidate) -> str:
    """The address of what served before, the same way as the candidate's; '' for none."""
    before = candidate.before
    return at_tag(candidate.health, candidate.place, before.serving_tag, before.serving_url)


def closing(settings: ServiceSettings) -> str:
    """The setting by which the release itself will keep them away."""
    if not settings.default_url:
        return DEFAULT_URL
    if settings.iap:
        return IAP
    return INGRESS if settings.ingress not in (None, "all") else ""


def undeclared(manifest: Manifest, environment: Environment, name: str) -> Problem | None:
    """What keeps a service from ever being proven there, wherever Slipway runs, as far as slipway.yaml tells."""
    settings = manifest.service_in(environment.name, name)
    closed = closing(settings)
    if closed not in (DEFAULT_URL, IAP) or is_declared(settings, closed):
        return None
    key = environment.says(name, "default_url" if closed == DEFAULT_URL else "iap")
    problem = f"keeps everybody away who could ask {name} whether it is healthy"
    return Problem("reach", Cause.INVALID_CONFIG, problem, to_declare(name, closed), key=key)


def is_declared(settings: ServiceSettings, closed: str) -> bool:
    """Whether slipway.yaml says how to get in all the same."""
    health = settings.health
    return bool(health.url) or (closed == IAP and bool(health.audience))


def to_declare(service: str, closed: str) -> str:
    key = f"services.{service}.health"
    if closed == IAP:
        return f"say in slipway.yaml as {key}.audience which client id Identity-Aware Proxy has"
    return f"say in slipway.yaml as {key}.url where it can be asked, like https://{TAG}---api.example.com"


def _filled(url: str, place: Place, tag: str) -> str:
    return url.replace(TAG, tag).replace(REGION, place.region)
