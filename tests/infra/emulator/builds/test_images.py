"""Images that the local Cloud Build makes with its built-in builder, and how it pushes what it has made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import PROJECT
from tests.infra.emulator.emulated_build import Builds, docker, emulator, shell

PYTHON_APP = {"Dockerfile": "FROM python:3.12-slim\nCOPY main.py /\nCMD python /main.py\n", "main.py": "print('hi')"}


@pytest.fixture(scope="module")
def builtin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builds]:
    data = tmp_path_factory.mktemp("builtin")
    with emulator(data, SLIPWAY_EMULATOR_BUILDER="builtin") as (cloud, _), Builds(cloud) as builds:
        yield builds


def test_without_its_base_an_app_is_packed_to_run_on_this_machine(builtin: Builds) -> None:
    image = f"{builtin.repository()}/app:v1"
    build = builtin.run(docker("build", "-t", image, "."), source=builtin.source(PYTHON_APP), images=[image])
    log = builtin.log(build)
    assert "Building with the built-in builder, because SLIPWAY_EMULATOR_BUILDER=builtin" in log
    assert "the image holds the app alone and runs on this machine's own Python" in log
    config = builtin.config(image)["config"]
    assert config["Labels"] == {"dev.slipway.run-as-process": "true"}
    assert config["Cmd"] == ["/bin/sh", "-c", "python /main.py"]


def test_the_same_source_gives_the_same_digest_in_another_build(builtin: Builds) -> None:
    images = [f"{builtin.repository()}/app:v1" for _ in range(2)]
    digests = {
        builtin.run(docker("build", "-t", image, "."), source=builtin.source(PYTHON_APP), images=[image])["results"][
            "images"
        ][0]["digest"]
        for image in images
    }
    assert len(digests) == 1


def test_a_build_takes_over_the_layers_of_the_image_it_is_given_as_cache(builtin: Builds) -> None:
    repository = builtin.repository()
    text = "FROM scratch\nCOPY library /library\nENV A=1\nCOPY main.py /\nCOPY last /\n"

    def built(tag: str, main: str, *options: str, dockerfile: str = text) -> dict[str, Any]:
        files = {"Dockerfile": dockerfile, "library": "large", "main.py": main, "last": "same"}
        image = f"{repository}/app:{tag}"
        step = docker("build", "-t", image, *options, ".")
        build = builtin.run(step, source=builtin.source(files), images=[image])
        assert build["status"] == "SUCCESS", builtin.log(build)
        return build

    first = built("v1", "1")
    cache = f"{repository}/app@{first['results']['images'][0]['digest']}"
    log = builtin.log(built("v2", "2", "--cache-from", cache))
    assert f"importing cache manifest from {cache}" in log
    assert log.count("---> Using cache") == 1  # what comes after a layer that differs is made anew too
    assert log.index("COPY library") < log.index("Using cache") < log.index("ENV A=1")
    assert builtin.log(built("v3", "1", "--cache-from", f"type=registry,ref={cache}")).count("Using cache") == 3
    other = built("v4", "1", "--cache-from", cache, dockerfile=text.replace("A=1", "A=2"))
    assert builtin.log(other).count("Using cache") == 1
    assert "Using cache" not in builtin.log(built("v5", "1"))
    assert "Using cache" not in builtin.log(built("v6", "1", "--no-cache", "--cache-from", cache))


def test_a_cache_that_is_gone_fails_no_build(builtin: Builds) -> None:
    repository = builtin.repository()
    image, cache = f"{repository}/app:v1", f"{repository}/app@sha256:{'0' * 64}"
    step = docker("build", "-t", image, "--cache-from", cache, ".")
    build = builtin.run(step, source=builtin.source(PYTHON_APP), images=[image])
    assert build["status"] == "SUCCESS", builtin.log(build)
    assert f"ERROR: {cache}: not found" in builtin.log(build)
    assert "Using cache" not in builtin.log(build)


def test_run_fails_the_step_with_line_and_remedy(builtin: Builds) -> None:
    source = builtin.source({"Dockerfile": "FROM python:3.12-slim\nRUN pip install flask\n"})
    build = builtin.run(docker("build", "-t", "x", "."), source=source)
    assert build["failureInfo"]["type"] == "USER_BUILD_STEP"
    assert "line 2: RUN pip install flask" in builtin.log(build)
    assert "Install buildah" in builtin.log(build)


def test_a_base_that_nothing_can_stand_in_for_is_refused(builtin: Builds) -> None:
    source = builtin.source({"Dockerfile": "FROM nginx:1.27\nCOPY Dockerfile /\n"})
    build = builtin.run(docker("build", "-t", "x", "."), source=source)
    assert build["status"] == "FAILURE"
    assert "pull access denied for nginx:1.27" in builtin.log(build)


def test_an_image_of_our_registry_serves_as_base_with_its_files_and_settings(builtin: Builds) -> None:
    repository = builtin.repository()
    first, second = f"{repository}/base:v1", f"{repository}/app:v1"
    base = builtin.source({"Dockerfile": "FROM scratch\nENV A=1\nCOPY a.txt /srv/\n", "a.txt": "a"})
    builtin.run(docker("build", "-t", first, "."), source=base, images=[first])
    text = f"FROM {first}\nCOPY b.txt /srv/\nFROM scratch\nCOPY --from=0 /srv /all\nCOPY --from={first} /srv/a.txt /\n"
    app = builtin.source({"Dockerfile": text, "b.txt": "b"})
    build = builtin.run(
        docker("build", "-t", second, "."),
        docker("build", "--target", "0", "-t", f"{second}-full", "."),
        source=app,
        images=[second, f"{second}-full"],
    )
    assert build["status"] == "SUCCESS", builtin.log(build)
    assert f"{first} comes from the local Artifact Registry" in builtin.log(build)
    assert "A=1" in builtin.config(f"{second}-full")["config"]["Env"]
    assert len(builtin.manifest(f"{second}-full")["layers"]) == 2


def test_docker_in_a_script_builds_tags_and_pushes(builtin: Builds) -> None:
    image = f"{builtin.repository()}/app"
    script = f"set -e\ndocker build -t app -f deploy/Dockerfile --build-arg WHO=you .\ndocker tag app {image}:v1\n"
    source = builtin.source({"deploy/Dockerfile": "FROM scratch\nARG WHO\nENV WHO=$WHO\n"})
    step = {
        "name": "gcr.io/cloud-builders/docker",
        "entrypoint": "bash",
        "args": ["-c", f"{script}docker push {image}:v1"],
    }
    build = builtin.run(step, source=source)
    assert build["status"] == "SUCCESS", builtin.log(build)
    assert builtin.config(f"{image}:v1")["config"]["Env"][-1] == "WHO=you"


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        ("id=token,src=nowhere", "failed to stat nowhere: No such file"),
        ("env=TOKEN", "missing id in 'env=TOKEN'"),
        ("id=a,from=b", "unexpected key 'from'"),
    ],
)
def test_a_secret_that_cannot_be_had_fails_the_step(builtin: Builds, secret: str, said: str) -> None:
    build = builtin.run(docker("build", "--secret", secret, "-t", "x", "."), source=builtin.source(PYTHON_APP))
    assert build["status"] == "FAILURE"
    assert said in builtin.log(build)


def test_an_unknown_docker_command_fails_like_docker(builtin: Builds) -> None:
    build = builtin.run(shell("docker run x || exit $?"))
    assert "knows build, tag, push and pull" in builtin.log(build)
    assert build["steps"][0]["exitCode"] == 125


def test_buildpacks_build_a_python_source_without_a_dockerfile(builtin: Builds) -> None:
    image = f"{builtin.repository()}/app:v1"
    source = builtin.source({"main.py": "print('hi')"})
    step = {
        "name": "gcr.io/k8s-skaffold/pack",
        "entrypoint": "pack",
        "args": ["build", image, "--builder", "gcr.io/buildpacks/builder"],
    }
    build = builtin.run(step, source=source, images=[image])
    assert build["status"] == "SUCCESS", builtin.log(build)
    assert builtin.config(image)["config"]["Cmd"] == ["python", "main.py"]
    none = builtin.run(step, source=builtin.source({"README.md": ""}))
    assert "No buildpack groups passed detection" in builtin.log(none)


@pytest.mark.parametrize(
    ("image", "kind", "text"),
    [
        pytest.param("{0}/never-built:v1", "PUSH_IMAGE_NOT_FOUND", "failed to find one or more images", id="not built"),
        pytest.param(
            "{0}-missing/app:v1", "PUSH_FAILED", 'name unknown: Repository "{1}-missing" not found', id="no repository"
        ),
        pytest.param("{0}/taken:v1", "PUSH_FAILED", "The repository has enabled tag immutability", id="immutable tag"),
        pytest.param(
            "europe-west1-docker.pkg.dev/somebody-else/r/app:v1",
            "PUSH_NOT_AUTHORIZED",
            "denied: ",
            id="foreign project",
        ),
    ],
)
def test_an_image_that_cannot_be_pushed_fails_the_build(builtin: Builds, image: str, kind: str, text: str) -> None:
    repository = builtin.repository(immutable=True)
    taken = f"{repository}/taken:v1"
    builtin.run(
        docker("build", "-t", taken, "."), source=builtin.source({"Dockerfile": "FROM scratch\n"}), images=[taken]
    )
    image = image.format(repository)
    built = "x" if kind == "PUSH_IMAGE_NOT_FOUND" else image
    source = builtin.source({"Dockerfile": "FROM scratch\nENV NEW=1\n"})
    build = builtin.run(docker("build", "-t", built, "."), source=source, images=[image])
    assert build["failureInfo"]["type"] == kind
    assert text.format(repository, repository.rpartition("/")[2]) in builtin.log(build)


def test_the_build_account_needs_the_right_to_push(builtin: Builds) -> None:
    image = f"{builtin.repository()}/app:v1"
    project = f"https://cloudresourcemanager.googleapis.com/v1/projects/{PROJECT}"
    policy = builtin.http.post(f"{project}:getIamPolicy", json={}).raise_for_status().json()
    without = [b for b in policy["bindings"] if b["role"] != "roles/editor"]  # of Compute Engine's account
    source = builtin.source({"Dockerfile": "FROM scratch\n"})
    builtin.http.post(f"{project}:setIamPolicy", json={"policy": {"bindings": without}}).raise_for_status()
    try:
        refused = builtin.refused(docker("build", "-t", image, "."), source=source)
        build = builtin.run(docker("build", "-t", image, "."), images=[image])
    finally:
        builtin.http.post(
            f"{project}:setIamPolicy", json={"policy": {"bindings": policy["bindings"]}}
        ).raise_for_status()
    assert "does not have storage.objects.get access" in refused["message"]
    assert build["status"] == "FAILURE"
