"""Images that the local Cloud Build makes with buildah, and the mirror from which it takes their bases."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.emulator.artifacts.manifests import compose
from infra.emulator.builds import rootfs
from infra.emulator.builds.debootstrap import Distribution, MirrorError, fill
from infra.emulator.builds.mirror import Mirror
from tests.infra.emulator.emulated_build import Builds, docker, emulator, shell

needs_buildah = pytest.mark.skipif(
    shutil.which("buildah") is None or os.geteuid() != 0, reason="buildah is not installed, or this is not root"
)
needs_mirror = pytest.mark.skipif(
    os.environ.get("SLIPWAY_TEST_MIRROR") != "1", reason="takes minutes and a network: set SLIPWAY_TEST_MIRROR=1"
)


@pytest.fixture(scope="module")
def buildah(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builds]:
    data = tmp_path_factory.mktemp("buildah") / ".Slipway_" / "cloud"  # buildah makes no image name of such a path
    with emulator(data, SLIPWAY_EMULATOR_BUILDER="buildah") as (cloud, _), Builds(cloud) as builds:
        yield builds


def shell_files() -> dict[str, Path]:
    """A shell and its libraries: place in a root file system -> file of this machine."""
    program = Path("/bin/sh").resolve()
    libraries = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=True).stdout
    return {"bin/sh": program} | {path.lstrip("/"): Path(path) for path in re.findall(r"(/\S+) \(", libraries)}


def system_image(builds: Builds, folder: Path) -> str:
    """Builds and pushes an image that has a shell; answers its name."""
    for name, path in shell_files().items():
        copy = folder / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    archive = subprocess.run(["tar", "-cz", "-C", str(folder), "."], capture_output=True, check=True).stdout
    bucket, image = builds.bucket(), f"{builds.repository()}/system:v1"
    builds.upload(bucket, "system.tgz", archive)
    source = {"storageSource": {"bucket": bucket, "object": "system.tgz"}}
    build = builds.run(docker("build", "-t", image, "."), source=source, images=[image])
    assert build["status"] == "SUCCESS", builds.log(build)
    return image


@needs_buildah
def test_a_secret_of_the_step_is_seen_by_the_run_that_mounts_it_and_is_not_in_the_image(
    buildah: Builds, tmp_path: Path
) -> None:
    base, image = system_image(buildah, tmp_path), f"{buildah.repository()}/app:v1"
    text = (
        f"FROM {base} AS build\n"
        "RUN --mount=type=secret,id=token read T < /run/secrets/token; [ ${#T} = 9 ] && echo ${#T} > /size\n"
        f"FROM {base} AS other\nRUN exit 9\n"
    )
    step = docker("build", "--target", "build", "-t", image, "--secret", "id=token,env=TOKEN", ".")
    step |= {"secretEnv": ["TOKEN"]}
    name = buildah.secret("swordfish")
    secrets = {"availableSecrets": {"secretManager": [{"versionName": f"{name}/versions/1", "env": "TOKEN"}]}}
    build = buildah.run(step, source=buildah.source({"Dockerfile": text}), images=[image], **secrets)
    assert build["status"] == "SUCCESS", buildah.log(build)
    assert "swordfish" not in buildah.log(build)
    bad = buildah.run(step, source=buildah.source({"Dockerfile": text.replace("= 9", "= 8")}), **secrets)
    assert bad["status"] == "FAILURE"


@needs_buildah
def test_buildah_runs_commands_and_caches_layers(buildah: Builds, tmp_path: Path) -> None:
    base, image = system_image(buildah, tmp_path), f"{buildah.repository()}/app:v1"
    text = f'FROM {base}\nARG WHO=world\nRUN echo "hello $WHO" > /greeting && [ -s /greeting ]\nCMD cat /greeting\n'
    source = buildah.source({"Dockerfile": text})
    options = ("-t", image, "--label", "a=b")
    first, second, third = (
        buildah.run(docker("build", *options, *cache, "."), source=source, images=[image])
        for cache in ((), ("--cache-from", image), ())
    )
    assert first["status"] == "SUCCESS", buildah.log(first)
    assert "RUN echo" in buildah.log(first)
    assert "Using cache" in buildah.log(second)
    assert "Using cache" not in buildah.log(third)
    assert first["results"]["images"][0]["digest"] == second["results"]["images"][0]["digest"]
    assert buildah.config(image)["config"]["Labels"]["a"] == "b"
    assert len(buildah.manifest(image)["layers"]) == 2


@needs_buildah
@pytest.mark.parametrize(
    "step",
    [docker("build", "-t", "x", "."), shell("docker build -t x .")],
    ids=["by the docker step", "by docker in a script"],
)
def test_cancelling_a_run_leaves_no_process_and_no_mount(buildah: Builds, tmp_path: Path, step: dict[str, Any]) -> None:
    text = f"FROM {system_image(buildah, tmp_path)}\nRUN echo started; kill -STOP $$\n"
    operation = buildah.create(step, source=buildah.source({"Dockerfile": text}))
    build = buildah.until(operation["metadata"]["build"]["name"], "WORKING")
    while "started" not in buildah.log(build):
        time.sleep(0.05)
    buildah.http.post(buildah.url(f"{build['name']}:cancel"), json={}).raise_for_status()
    data = str(buildah.cloud.data)
    assert data not in Path("/proc/mounts").read_text()
    commands = subprocess.run(["ps", "-eo", "args="], capture_output=True, text=True, check=True).stdout
    assert not [line for line in commands.splitlines() if f"{data}/buildah" in line or "kill -STOP" in line]


def mirrored(builds: Builds, folder: Path, name: str) -> bytes:
    """Puts a system with a shell into the mirror; answers its manifest."""
    for path, program in shell_files().items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(program, folder / path)
    mirror = Mirror(builds.cloud.data)
    layer = rootfs.write_layer(rootfs.read_folder(folder), mirror.blobs)
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id]},
        "history": [{"created": "1970-01-01T00:00:00Z"}],
    }
    manifest = compose(mirror.blobs, config, [layer.digest])
    mirror.add(name, manifest)
    return manifest


@needs_buildah
@pytest.mark.parametrize("name", ["python:3.14-slim", f"python:3.14-slim@sha256:{'0' * 64}"], ids=["tag", "digest"])
def test_a_base_from_the_mirror_is_built_on_however_it_is_named(buildah: Builds, tmp_path: Path, name: str) -> None:
    mirrored(buildah, tmp_path, name)
    first = f"ARG BASE={name}\nFROM $BASE AS first\nRUN echo hello > /greeting\n"
    text = f"{first}FROM {name}\nCOPY --from=first /greeting /\n"
    image = f"{buildah.repository()}/app:v1"
    step = docker("build", "-t", image, ".")
    build = buildah.run(step, source=buildah.source({"Dockerfile": text}), images=[image])
    assert build["status"] == "SUCCESS", buildah.log(build)
    assert f"{name} comes from the local mirror" in buildah.log(build)
    assert ("is not the image that has this digest" in buildah.log(build)) == ("@" in name)


@needs_buildah
def test_the_log_says_why_buildah_cannot_take_a_base(buildah: Builds, tmp_path: Path) -> None:
    (tmp_path / "own").write_text("a layer that no other image has")
    manifest = json.loads(mirrored(buildah, tmp_path, "broken:1"))
    Mirror(buildah.cloud.data).blobs.path(manifest["layers"][0]["digest"]).write_bytes(b"not what the digest says")
    build = buildah.run(docker("build", "-t", "x", "."), source=buildah.source({"Dockerfile": "FROM broken:1\n"}))
    assert build["status"] == "FAILURE"
    assert re.search("ERROR: .*Digest did not match", buildah.log(build))


@needs_buildah
def test_a_failing_run_is_shown_and_fails_the_step(buildah: Builds) -> None:
    source = buildah.source({"Dockerfile": "FROM scratch\nCOPY nothing /\n"})
    build = buildah.run(docker("build", "-t", "x", "."), source=source)
    assert build["failureInfo"]["type"] == "USER_BUILD_STEP"
    assert "nothing" in buildah.log(build)


def test_the_mirror_refuses_what_packages_cannot_make(tmp_path: Path) -> None:
    done = mirror(tmp_path, "nginx:1.27")
    assert done.returncode == 2
    assert "nginx:1.27 cannot be made from packages" in done.stderr


def test_what_the_mirror_has_is_not_made_again_under_another_name(tmp_path: Path) -> None:
    here, said = Mirror(tmp_path), list[str]()
    made = compose(here.blobs, {"os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}, [])
    here.add("node:20-slim", made, "bookworm and nodejs and npm")
    fill(here, ["node:22-slim", "node:20-slim"], Distribution("bookworm", "http://nowhere.invalid"), said.append)
    assert here.find("node:22-slim") == here.find("node:20-slim") == made
    assert not any("Fetching" in line for line in said)
    with pytest.raises(MirrorError):  # another suite is another system
        fill(here, ["node:22-slim"], Distribution("trixie", "http://nowhere.invalid"), said.append)


def mirror(data: Path, *arguments: str) -> Any:
    command = [sys.executable, "-m", "infra.emulator", "mirror", *arguments, "--data", str(data)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@needs_mirror
@needs_buildah
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("base", "programs"),
    [
        ("python:3.12-slim", ("python --version", "pip --version", "python -m venv /venv", "/venv/bin/pip --version")),
        ("node:20", ("node --version", "npm --version")),
    ],
)
def test_an_unmodified_dockerfile_builds_from_the_mirror_without_a_registry(
    tmp_path: Path, base: str, programs: tuple[str, ...]
) -> None:
    data = tmp_path / "cloud"
    done = mirror(data, base)
    assert done.returncode == 0, done.stderr
    text = f"FROM {base}\nRUN {' && '.join(programs)} > /version\nCMD true\n"
    with emulator(data, SLIPWAY_EMULATOR_BUILDER="auto") as (cloud, _), Builds(cloud) as builds:
        image = f"{builds.repository()}/app:v1"
        name = builds.create(
            docker("build", "-t", image, "."), source=builds.source({"Dockerfile": text}), images=[image]
        )["metadata"]["build"]["name"]
        build = builds.finished(name, timeout_s=300)
        assert build["status"] == "SUCCESS", builds.log(build)
        assert f"{base} comes from the local mirror" in builds.log(build)
        assert len(builds.manifest(image)["layers"]) == 2
