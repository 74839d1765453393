"""Artifact Registry's local twin under the tools that nobody here wrote: gcloud and buildah."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import LocalCloud
from tests.infra.emulator.emulated_registry import (
    HOST,
    LOCATION,
    OciClient,
    image_name,
    new_repository,
    plain_door,
    token,
)

needs_buildah = pytest.mark.skipif(shutil.which("buildah") is None, reason="buildah is not installed")
needs_gcloud = pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")


class Buildah:
    """Buildah with storage of its own."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self._env = env
        self._command = ["buildah", "--storage-driver", "vfs", "--root", f"{folder}/root", "--runroot", f"{folder}/run"]

    def __call__(self, *arguments: str) -> str:
        done = self.attempt(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def attempt(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._command, *arguments], env=self._env, capture_output=True, text=True, timeout=120, check=False
        )

    def image(self, name: str, content: str, folder: Path) -> str:
        """Builds a small image called `name`."""
        folder.mkdir(exist_ok=True)
        (folder / "Dockerfile").write_text("FROM scratch\nCOPY content /content\n")
        (folder / "content").write_text(content)
        self("bud", "-q", "--isolation", "chroot", "-t", name, str(folder))
        return name


@pytest.fixture
def buildah(tmp_path: Path, cloud: LocalCloud) -> Buildah:
    return Buildah(tmp_path / "containers", cloud.env)


@needs_buildah
def test_buildah_pushes_through_either_door_and_pulls_the_same_image(
    cloud: LocalCloud, cloud_env: dict[str, str], buildah: Buildah, tmp_path: Path
) -> None:
    name = f"{HOST}/{image_name(new_repository(), 'team/app')}"
    credentials = ["--creds", f"oauth2accesstoken:{token(cloud)}"]
    local = buildah.image("local", "hello", tmp_path / "context")
    buildah("push", "-q", *credentials, local, f"docker://{name}:tls")
    plain = plain_door(cloud).removeprefix("http://")
    buildah("push", "-q", "--tls-verify=false", *credentials, local, f"docker://{plain}/{name}:plain")
    image_id = buildah("images", "-q", "--no-trunc", local)
    buildah("rmi", "-a", "-f")
    for tag in ("tls", "plain"):
        assert buildah("pull", "-q", *credentials, f"docker://{name}:{tag}") == image_id.removeprefix("sha256:")


@needs_buildah
def test_buildah_shows_why_an_immutable_tag_is_not_overwritten(
    cloud: LocalCloud, cloud_env: dict[str, str], buildah: Buildah, tmp_path: Path
) -> None:
    name = f"{HOST}/{image_name(new_repository(immutable=True))}:v1"
    credentials = ["--creds", f"oauth2accesstoken:{token(cloud)}"]
    buildah("push", "-q", *credentials, buildah.image("one", "1", tmp_path / "context"), f"docker://{name}")
    buildah("push", "-q", *credentials, "one", f"docker://{name}")
    again = buildah.attempt("push", *credentials, buildah.image("two", "2", tmp_path / "context"), f"docker://{name}")
    assert again.returncode != 0
    assert "cannot update tag v1. The repository has enabled tag immutability" in again.stderr


@needs_buildah
def test_buildah_shows_why_a_push_is_refused(
    cloud: LocalCloud, cloud_env: dict[str, str], buildah: Buildah, tmp_path: Path
) -> None:
    local = buildah.image("local", "1", tmp_path / "context")
    good = ["--creds", f"oauth2accesstoken:{token(cloud)}"]
    absent = buildah.attempt("push", *good, local, f"docker://{HOST}/acme-test/no-such-repository/app:v1")
    assert 'name unknown: Repository "no-such-repository" not found' in absent.stderr
    bad = ["--creds", "oauth2accesstoken:expired"]
    unknown = buildah.attempt("push", *bad, local, f"docker://{HOST}/{image_name(new_repository())}:v1")
    assert "unauthorized: authentication failed" in unknown.stderr


@needs_buildah
def test_buildah_pulls_googles_hello_image_without_credentials(cloud: LocalCloud, buildah: Buildah) -> None:
    assert len(buildah("pull", "-q", "docker://us-docker.pkg.dev/cloudrun/container/hello")) == 64


@needs_gcloud
def test_gcloud_manages_repositories_and_what_is_in_them(cloud: LocalCloud, cloud_env: dict[str, str]) -> None:
    place = ["--location", LOCATION]

    def gcloud(*arguments: str) -> Any:
        command = ["gcloud", "artifacts", *arguments, "--quiet", "--format", "json"]
        done = subprocess.run(command, env=cloud.env, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    gcloud("repositories", "create", "by-gcloud", "--repository-format", "docker", "--immutable-tags", *place)
    described = gcloud("repositories", "describe", "by-gcloud", *place)
    assert described["dockerConfig"] == {"immutableTags": True}
    assert described["registryUri"] == f"{HOST}/acme-test/by-gcloud"
    gcloud("repositories", "update", "by-gcloud", "--no-immutable-tags", "--description", "x", *place)
    assert described["name"] in [repository["name"] for repository in gcloud("repositories", "list", *place)]
    policy = [{"name": "old", "action": {"type": "Delete"}, "condition": {"olderThan": "30d"}}]
    file = cloud.data / "policy.json"
    file.write_text(json.dumps(policy))
    gcloud("repositories", "set-cleanup-policies", "by-gcloud", "--policy", str(file), "--dry-run", *place)

    oci = OciClient(cloud)
    with oci.http:
        digest = oci.push("acme-test/by-gcloud/team/app", "v1")
    image = f"{HOST}/acme-test/by-gcloud/team/app"
    gcloud("docker", "tags", "add", f"{image}:v1", f"{image}:stable")
    assert len(gcloud("docker", "tags", "list", image)) == 2
    (listed,) = gcloud("docker", "images", "list", image, "--include-tags", "--sort-by", "~UPDATE_TIME")
    assert (listed["package"], listed["version"], sorted(listed["tags"])) == (image, digest, ["stable", "v1"])
    summary = gcloud("docker", "images", "describe", f"{image}:v1")["image_summary"]
    assert summary["digest"] == digest
    (package,) = gcloud("packages", "list", "--repository", "by-gcloud", *place)
    assert package["name"] == "team/app"
    (version,) = gcloud("versions", "list", "--repository", "by-gcloud", "--package", "team/app", *place)
    assert version["name"].endswith(digest)
    gcloud("docker", "tags", "delete", f"{image}:stable")
    gcloud("docker", "images", "delete", f"{image}:v1", "--delete-tags")
    gcloud("repositories", "delete", "by-gcloud", *place)
