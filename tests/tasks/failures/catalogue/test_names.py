"""What people call their things says nothing about what failed."""

from __future__ import annotations

import pytest

from tasks.failures.catalogue.names import without_names
from tasks.failures.cause import Cause, Transient
from tasks.failures.explain import explain

PORT = (
    "is not ready and cannot serve traffic. The user-provided container failed to start and listen on the port "
    "defined provided by the PORT=8080 environment variable within the allocated timeout."
)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (f"Revision 'rate-limiter-00001-abc' {PORT}", Cause.CONTAINER_PORT),
        (f"The service rate-limiter-00001-abc {PORT}", Cause.CONTAINER_PORT),
        ("Image 'europe-docker.pkg.dev/p/slipway/throttler:v1' not found.", Cause.IMAGE_MISSING),
        (
            "Permission 'run.services.get' denied on resource "
            "'//run.googleapis.com/projects/p/locations/europe-west1/services/rate-limiter' (or it may not exist).",
            Cause.PERMISSION,
        ),
        (
            "Permission 'secretmanager.versions.access' denied for resource "
            "'projects/p/secrets/RATE_LIMIT_KEY/versions/1' (or it may not exist).",
            Cause.PERMISSION,
        ),
        ("Service account rate-limit@p.iam.gserviceaccount.com does not exist.", Cause.NOT_FOUND),
        (
            "spec.template.spec.containers[0].env[3].name: 'RATE_LIMIT' duplicate: invalid argument",
            Cause.INVALID_CONFIG,
        ),
        ("run.googleapis.com/cpu-throttling must be false with a GPU: invalid argument", Cause.INVALID_CONFIG),
    ],
)
def test_a_thing_that_is_called_like_a_failure_is_not_taken_for_it(text: str, cause: Cause) -> None:
    said = explain(text)
    assert (said.cause, said.transient) == (cause, said.transient if cause is Cause.CONTAINER_PORT else Transient.NO)


@pytest.mark.parametrize(
    "text",
    [
        "too many requests: slow down",
        "services/run.googleapis.com is disabled",
        "quota metric 'run.googleapis.com/rate_limited'",
        "the request was throttled",
        "https://www.docker.com/increase-rate-limit",
        "secrets not found",
        "permission iam.serviceaccounts.actas denied",
    ],
)
def test_words_of_google_s_stay(text: str) -> None:
    assert without_names(text) == text


def test_what_is_hidden_keeps_its_shape_and_its_place() -> None:
    text = "revision 'api-00007-abc' of projects/my-app/services/web at web-abc-ew.a.run.app"
    hidden = "revision 'xxx-00007-xxx' of projects/xx-xxx/services/xxx at xxx-xxx-xx.a.run.app"
    assert without_names(text) == hidden
