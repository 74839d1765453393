"""Clients of Artifact Registry and of its OCI registry, and a repository for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from google.cloud import artifactregistry_v1 as ar

from tests.conftest import LocalCloud
from tests.infra.emulator.emulated_registry import OciClient, image_name, new_repository


@pytest.fixture
def client(cloud_env: dict[str, str]) -> ar.ArtifactRegistryClient:
    return ar.ArtifactRegistryClient()


@pytest.fixture
def oci(cloud: LocalCloud, cloud_env: dict[str, str]) -> Iterator[OciClient]:
    client = OciClient(cloud)
    with client.http:
        yield client


@pytest.fixture
def repository(cloud_env: dict[str, str]) -> str:
    return new_repository()


@pytest.fixture
def name(cloud_env: dict[str, str]) -> str:
    """PROJECT/REPOSITORY/IMAGE in a fresh repository."""
    return image_name(new_repository())
