"""Images that are built elsewhere are looked up before anything changes, and whether Cloud Run may pull them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from google.cloud import artifactregistry_v1 as ar
from google.iam.v1 import iam_policy_pb2, policy_pb2

from infra.gcp import project
from tasks.failures.cause import Cause
from tasks.model import Readiness
from tasks.preflight.images import READER, check_images
from tests.conftest import OTHER_PROJECT, PROJECT, LocalCloud
from tests.infra.emulator.emulated_registry import HOST, OciClient, image_name, new_repository
from tests.tasks.preflight.requests import to_ship

pytestmark = pytest.mark.usefixtures("acting")


@pytest.fixture
def registry(cloud: LocalCloud, cloud_env: dict[str, str]) -> Iterator[OciClient]:
    client = OciClient(cloud)
    yield client
    client.http.close()


async def test_what_a_tag_or_a_digest_names_must_be_there(registry: OciClient) -> None:
    name = image_name(new_repository())
    digest = registry.push(name, "v3")
    for selector in (":v3", f"@{digest}", f":v3@{digest}"):
        assert await check_images(to_ship(f"image: '{HOST}/{name}{selector}'")) == Readiness()
    for selector in (":v4", f"@sha256:{'0' * 64}"):
        (problem,) = (await check_images(to_ship(f"image: '{HOST}/{name}{selector}'"))).problems
        assert problem.cause is Cause.IMAGE_MISSING
        assert problem.problem.startswith(f"There is no image {HOST}/{name}{selector}, which service web is to run")


async def test_a_repository_of_nowhere_is_told_with_the_command_that_opens_it(cloud_env: dict[str, str]) -> None:
    (problem,) = (await check_images(to_ship(f"image: '{HOST}/nobodys-project/images/web:v3'"))).problems
    assert problem.cause is Cause.PERMISSION
    assert "gcloud artifacts repositories add-iam-policy-binding images --location=us-central1" in problem.fix


async def test_cloud_run_of_another_project_needs_to_read_the_repository(registry: OciClient) -> None:
    repository = new_repository()
    reference = f"{HOST}/{image_name(repository)}@{registry.push(image_name(repository), 'v3')}"
    request = to_ship(f"image: '{reference}'", project=OTHER_PROJECT)
    (note,) = (await check_images(request)).notes
    number = (await project.get_project(OTHER_PROJECT)).number
    agent = f"serviceAccount:service-{number}@serverless-robot-prod.iam.gserviceaccount.com"
    assert f"--project={PROJECT} --member={agent} --role={READER}" in note
    promoted = replace(to_ship(project=OTHER_PROJECT), builds=False, images={"web": reference})
    assert (await check_images(promoted)).notes == (note,)

    policy = policy_pb2.Policy(bindings=[policy_pb2.Binding(role=READER, members=[agent])])
    ar.ArtifactRegistryClient().set_iam_policy(iam_policy_pb2.SetIamPolicyRequest(resource=repository, policy=policy))
    assert await check_images(request) == Readiness()
