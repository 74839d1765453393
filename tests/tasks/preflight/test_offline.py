"""What a folder tells before a run: seen as the run would see it, through git."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.manifest.loading import Fault
from tasks.preflight.offline import check_folder
from tests.tasks.repos import Repo

MANIFEST = """\
app: shop
services:
  api: {dockerfile: docker/Dockerfile.prod}
  web: {}
environments:
  production: {project: acme-prod, regions: [europe-west1]}
"""
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 5\n"


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    repo = Repo.init(tmp_path / "repo")
    files = {"slipway.yaml": MANIFEST, "api/docker/Dockerfile.prod": "FROM scratch", "web/main.py": "1"}
    repo.commit(**files)
    return repo


async def faults(repo: Repo) -> list[Fault]:
    return await check_folder(repo.path)


async def test_a_folder_that_is_whole_has_no_fault(repo: Repo) -> None:
    assert await faults(repo) == []


async def test_a_folder_in_no_repository_is_seen_whole(repo: Repo, tmp_path: Path) -> None:
    (repo.path / ".git").rename(tmp_path / "elsewhere")
    assert await faults(repo) == []
    (repo.path / "api/docker/Dockerfile.prod").unlink()
    assert [fault.key for fault in await faults(repo)] == ["services.api.dockerfile", "services.api.source"]


async def test_all_sources_are_told_with_the_lines_that_name_them(repo: Repo) -> None:
    repo.git("mv", "web", "site")
    repo.git("mv", "api/docker/Dockerfile.prod", "api/docker/Dockerfile.production")
    (repo.path / "api/link").symlink_to("/etc/passwd")
    assert [(fault.line, fault.key) for fault in await faults(repo)] == [
        (3, "services.api.dockerfile"),
        (3, "services.api.source"),
        (4, "services.web.source"),
    ]


async def test_only_the_services_that_are_shipped_matter(repo: Repo) -> None:
    repo.git("mv", "web", "site")
    assert await check_folder(repo.path, "production", ["api"]) == []
    assert await check_folder(repo.path, "production", []) == []
    (fault,) = await check_folder(repo.path, "production", ["wep"])
    assert fault.problem == "there is no service 'wep'; did you mean 'web'?"


async def test_what_git_ignores_is_not_there(repo: Repo) -> None:
    """A link that leads out of a folder of packages is none of the source's."""
    repo.write(".gitignore", "packages/\n")
    repo.write("web/packages/x", "1")
    (repo.path / "web/packages/python").symlink_to("/usr/bin/python3")
    assert await faults(repo) == []
    repo.git("rm", "--quiet", "--cached", "api/docker/Dockerfile.prod")
    repo.write(".gitignore", "Dockerfile.prod\n")
    repo.write("api/main.py", "1")
    (repo.path / "web/packages/python").unlink()
    assert [fault.key for fault in await faults(repo)] == ["services.api.dockerfile"]


async def test_a_manifest_that_git_ignores_is_not_there_either(repo: Repo) -> None:
    repo.git("rm", "--quiet", "--cached", "slipway.yaml")
    assert await faults(repo) == []  # not yet added
    repo.write(".gitignore", "*.yaml\n")
    (fault,) = await faults(repo)
    assert "git ignores it" in fault.problem


async def test_a_manifest_that_is_elsewhere_is_named(repo: Repo) -> None:
    repo.git("mv", "slipway.yaml", "web/slipway.yaml")
    (fault,) = await faults(repo)
    assert "web/slipway.yaml" in fault.remedy


@pytest.mark.parametrize("ignored", [False, True])
async def test_a_submodule_that_can_be_had_nowhere_is_a_fault_of_the_service_that_packs_it(
    repo: Repo, ignored: bool
) -> None:
    clone = repo.cloned_without("web/lib", ignored=ignored)
    assert await faults(repo) == []  # it is here
    found = await faults(clone)
    assert [fault.problem.split(":")[0] for fault in found] == (
        [] if ignored else ["The submodule web/lib in the source of service web is not here"]
    )


async def test_a_submodule_that_the_run_fetches_is_no_fault(repo: Repo) -> None:
    library = Repo.init(repo.path.parent / "library")
    library.commit(**{"docker/Dockerfile.prod": "FROM scratch"})
    repo.git("rm", "--quiet", "-r", "api")
    repo.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", library.path.as_uri(), "api")
    repo.commit()
    clone = Repo.clone(repo.path, repo.path.parent / "clone")
    assert list((clone.path / "api").iterdir()) == []
    assert await faults(clone) == []


async def test_pointers_of_git_lfs_are_no_files(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    repo.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
    repo.write("web/model.bin", POINTER)
    (fault,) = await faults(repo)
    assert fault.problem == "The source of service web has pointers of git-lfs instead of files: model.bin."
    repo.git("config", "filter.lfs.smudge", "git-lfs smudge -- %f")  # a run's clone will have the files
    assert await faults(repo) == []


async def test_a_service_that_nothing_could_ask_is_told_with_what_to_declare(repo: Repo) -> None:
    repo.commit(**{"slipway.yaml": MANIFEST.replace("web: {}", "web: {default_url: false}")})
    (fault,) = await faults(repo)
    assert (fault.line, fault.key) == (4, "services.web.default_url")
    assert "services.web.health.url" in fault.remedy
    said = "web: {default_url: false, health: {url: 'https://{tag}---shop.example.com'}}"
    repo.commit(**{"slipway.yaml": MANIFEST.replace("web: {}", said)})
    assert await faults(repo) == []


async def test_a_file_of_variables_is_read_as_the_run_would_see_it(repo: Repo) -> None:
    repo.commit(**{"slipway.yaml": MANIFEST.replace("web: {}", "web: {env_file: web/.env}")})
    (fault,) = await faults(repo)
    assert fault.key == "services.web.env_file"
    assert "is not seen by a run" in fault.problem
    repo.commit(**{"web/.env": "PORT=1"})
    (fault,) = await faults(repo)
    assert "web/.env: PORT: is set by Cloud Run itself" in fault.problem
    repo.commit(**{"web/.env": "LEVEL=info"})
    assert await faults(repo) == []


async def test_an_image_that_is_built_elsewhere_needs_no_source(repo: Repo) -> None:
    repo.git("rm", "-q", "-r", "web")
    repo.commit(**{"slipway.yaml": MANIFEST.replace("web: {}", "web: {image: nginx}")})
    assert await faults(repo) == []


WITH_GATEWAY = MANIFEST.replace(
    "{project: acme-prod, regions: [europe-west1]}",
    """
    project: acme-prod
    regions: [europe-west1]
    provision:
      gateway: {openapi: api.yaml, service_account: shop-gateway}""",
)
OPENAPI = "swagger: '2.0'\npaths: {/: {get: {x-google-backend: {address: '${WEB_URL}'}}}}\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (OPENAPI, ""),
        (None, "api.yaml is not there"),
        ("swagger: '2.0'\npaths: [", "is neither YAML nor JSON (line 2)"),
        ("swagger: '1.2'\npaths: {/: {}}", "says swagger: 1.2, which no gateway takes"),
        (OPENAPI.replace("WEB", "WEBB"), "has ${WEBB_URL} in it, which is no service's; did you mean 'WEB_URL'?"),
    ],
)
async def test_what_is_wrong_with_a_gateways_file_is_told_with_the_line_that_names_it(
    repo: Repo, text: str | None, said: str
) -> None:
    repo.write("slipway.yaml", WITH_GATEWAY)
    if text is not None:
        repo.write("api.yaml", text)
    found = await faults(repo)
    place = (10, "environments.production.provision.gateway.openapi")
    assert [(fault.line, fault.key) for fault in found] == [place][: bool(said)]
    assert all(said in fault.problem for fault in found)
    assert await check_folder(repo.path, around=lambda provision: provision.before_deploy) == []


async def test_a_gateways_file_that_git_ignores_is_not_seen_by_a_run(repo: Repo) -> None:
    repo.write("slipway.yaml", WITH_GATEWAY)
    repo.write("api.yaml", OPENAPI)
    repo.write(".gitignore", "api.yaml\n")
    assert [fault.problem for fault in await faults(repo)] == ["api.yaml is not seen by a run: git ignores it"]
