"""What was built of the same content before, or is being built: so that nothing is built twice."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from prefect.logging import get_run_logger

from infra.gcp import builds
from infra.gcp.artifacts import repositories
from infra.gcp.builds import Build
from infra.gcp.calls.errors import GoogleError
from tasks.builds.recipe import Recipe, adoptable, earlier_builds, earlier_images
from tasks.failures.cause import Cause
from tasks.failures.errors import TagTaken
from tasks.failures.explain import explain
from tasks.model import Request
from tasks.names.references import ImageReference, Package


@dataclass(frozen=True, slots=True)
class Seen:
    """under_way: a build of just this that goes on; cache: the image to take layers over from, '' without."""

    under_way: Build | None
    cache: str


async def look(request: Request, recipe: Recipe) -> Seen:
    """To be followed by `known_digests`: a build that ends between the two is seen by one of them."""
    return Seen(*await asyncio.gather(_under_way(request, recipe), _cache(request, recipe)))


async def look_again(request: Request, recipe: Recipe) -> tuple[Seen, dict[str, str]]:
    """The same, and by service the digests of what an earlier attempt has built by now."""
    seen = await look(request, recipe)
    return seen, {} if seen.under_way else await known_digests(recipe)


async def known_digests(recipe: Recipe) -> dict[str, str]:
    """By service, of those that are built already. Raises TagTaken if the version names other content."""

    async def tagged(package: Package, tag: str) -> str | None:
        return await repositories.digest_of(package.repository, package.name, tag)

    async def known(package: Package) -> str:
        tags = recipe.tag, recipe.content_tag, recipe.former_tag
        by_version, by_content, by_former = await asyncio.gather(*(tagged(package, tag) for tag in tags))
        if by_former and (by_content is None or by_version == by_former):
            by_content = by_former
        return reusable_digest(recipe.only([package]), by_version, by_content)

    digests = await asyncio.gather(*map(known, recipe.packages))
    return {package.name: digest for package, digest in zip(recipe.packages, digests, strict=True) if digest}


def reusable_digest(recipe: Recipe, by_version: str | None, by_content: str | None) -> str:
    """The digest to reuse, '' to build. A version tag that names anything but this very content is refused."""
    if by_version is None:
        return by_content or ""
    if by_version == by_content:
        return by_version
    raise TagTaken(
        f"{recipe.uri}:{recipe.tag} already exists with digest {by_version}, which was not built from this source.",
        "release this commit under a new version: git tag vX.Y.Z && git push --tags; a version is never overwritten.",
        Cause.ALREADY_EXISTS,
        state="No build was started and nothing was deployed.",
    )


async def _under_way(request: Request, recipe: Recipe) -> Build | None:
    found = await builds.find_builds(request.project, request.build_region, adoptable(recipe))
    return found[0] if found else None


async def _cache(request: Request, recipe: Recipe) -> str:
    """The newest earlier image of the service that still exists, by digest: every build starts on an empty machine.

    '' when there is none, when none can be looked for, and for buildpacks, which take over nothing from images.
    """
    if recipe.dockerfile is None:
        return ""
    package = recipe.package
    try:
        found = await builds.find_builds(request.project, request.build_region, earlier_builds(recipe))
        for image in earlier_images(recipe, found):
            if digest := await repositories.digest_of(package.repository, package.name, image.tag):
                return str(ImageReference(package.uri, digest=digest))
    except GoogleError as error:
        get_run_logger().warning("%s is built without a cache: %s", recipe.service, explain(error).said)
    return ""
