"""Images that this run does not build: whether they are there, and whether Cloud Run may have them.

Whoever deploys needs to read an image, and so does Cloud Run's own account in the project that runs it:
https://cloud.google.com/artifact-registry/docs/integrate-cloud-run
"""

from __future__ import annotations

import asyncio

from infra.gcp import project
from infra.gcp.artifacts import repositories
from infra.gcp.calls.errors import GoogleError
from tasks.builds.elsewhere import find_digest, missing
from tasks.failures.cause import Cause
from tasks.manifest.settings import Part, called
from tasks.model import Readiness, Request
from tasks.names.references import ImageReference, Package
from tasks.preflight.accounts import has_role
from tasks.preflight.findings import merge, refuse
from tasks.preflight.permissions import GONE

CHECK = "images"
READER = "roles/artifactregistry.reader"
READERS = {READER, *(f"roles/artifactregistry.{each}" for each in ("writer", "repoAdmin", "admin"))}
READERS |= {"roles/editor", "roles/owner", "roles/viewer"}


async def check_images(request: Request) -> Readiness:
    parts = [request.part(name) for name in request.image_names if request.builds]
    looks = [_look(part, part.image) for part in parts if part.image]
    used = [*(part.image for part in parts if part.image), *request.images.values()]
    return merge(await asyncio.gather(*looks, _check_agent(request, used)))


async def _look(part: Part, image: str) -> Readiness:
    reference = ImageReference.parse(image)
    try:
        found = await find_digest(reference)
    except GoogleError as error:
        if error.status not in ("PERMISSION_DENIED", "UNAUTHENTICATED"):
            raise
        package, other = reference.package, "make it public, or give whoever runs this the right to pull it"
        return refuse(
            CHECK,
            Cause.PERMISSION,
            f"The image {image} of {called(part)} is not there, or not for whoever runs this, who must read it.",
            _let_read(package, "MEMBER") if package else other,
        )
    if found:
        return Readiness()
    said = missing(part, image)
    return refuse(CHECK, said.cause, said.problem, said.remedy)


async def _check_agent(request: Request, images: list[str]) -> Readiness:
    """Whether Cloud Run's own account may pull from repositories of other projects."""
    packages = {package.repository: package for image in images if (package := ImageReference.parse(image).package)}
    others = [package for package in packages.values() if package.project != request.project]
    if not others:
        return Readiness()
    number = (await project.get_project(request.project)).number
    agent = f"serviceAccount:service-{number}@serverless-robot-prod.iam.gserviceaccount.com"
    return Readiness(notes=tuple(filter(None, await asyncio.gather(*(_note(each, agent) for each in others)))))


async def _note(package: Package, agent: str) -> str:
    """No problem: a group, a folder or a role of somebody's own making may let it in, which is not seen from here."""
    try:
        of_project, of_repository = await asyncio.gather(
            project.policy(package.project), repositories.policy(package.repository)
        )
    except GoogleError as error:
        if error.status not in GONE:
            raise
        return f"Whether Cloud Run may pull from {package.repository} could not be seen."
    for member in (agent, "allUsers", "allAuthenticatedUsers"):
        if has_role(of_project, member, READERS) or has_role(of_repository, member, READERS):
            return ""
    return (
        f"The policies of {package.repository} and its project do not let Cloud Run pull from there. If nothing else "
        f"does: {_let_read(package, agent)}"
    )


def _let_read(package: Package, member: str) -> str:
    return (
        f"gcloud artifacts repositories add-iam-policy-binding {package.repository_id} --location={package.location} "
        f"--project={package.project} --member={member} --role={READER}"
    )
