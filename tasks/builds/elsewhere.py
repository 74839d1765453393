"""Images that are built elsewhere: what a reference names is looked up once for each release, and kept to."""

from __future__ import annotations

from prefect.logging import get_run_logger

from infra.gcp.artifacts import registries
from infra.gcp.calls.errors import GoogleError
from tasks.failures.cause import Cause
from tasks.failures.errors import NOT_DEPLOYED, ImageUnusable
from tasks.manifest.settings import Part, called, place_of
from tasks.model import Image, Request
from tasks.names.references import ImageReference
from tasks.orchestration.step import step


@step("look up the image", run_name="look up the image of {name}", attempts=3, state=NOT_DEPLOYED)
async def look_up(request: Request, name: str) -> Image:
    """Raises ImageUnusable when there is no such image."""
    part = request.part(name)
    given = part.image
    assert given, f"{name} is built here"
    reference = ImageReference.parse(given)
    digest = await find_digest(reference)
    if digest is None:
        raise missing(part, given)
    get_run_logger().info("%s is built elsewhere: %s is %s", name, given, digest)
    return Image(name, reference.uri, digest, reference.tag, built=False)


async def find_digest(image: ImageReference) -> str | None:
    """None when it is not there. Raises GoogleError."""
    return await registries.find_digest(image.host, image.path, image.selector)


async def is_missing(image: ImageReference) -> bool:
    """Whether its registry says that it is not there; what may not be asked, is taken to be."""
    try:
        return await find_digest(image) is None
    except GoogleError as error:
        if error.status not in ("PERMISSION_DENIED", "UNAUTHENTICATED"):
            raise
        return False


def missing(part: Part, given: str) -> ImageUnusable:
    return ImageUnusable(
        f"There is no image {given}, which {called(part)} is to run.",
        f"push it, or correct {'.'.join(place_of(part))}.image in slipway.yaml.",
        Cause.IMAGE_MISSING,
    )
