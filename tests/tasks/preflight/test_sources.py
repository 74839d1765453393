"""Problems of the sources are told with those of the project, before anything is created."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tasks.model import Problem
from tasks.preflight.sources import check_sources
from tests.tasks.builders import a_request
from tests.tasks.repos import Repo

MANIFEST = """
app: shop
services:
  api: {dockerfile: docker/Dockerfile.prod}
  web: {}
environments:
  production: {project: acme-prod, regions: [europe-west1]}
"""


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    repo = Repo.init(tmp_path / "repo")
    repo.commit(**{"api/docker/Dockerfile.prod": "FROM scratch", "web/main.py": "1"})
    return repo


async def problems(repo: Repo) -> list[Problem]:
    return list((await check_sources(a_request(text=MANIFEST, folder=repo.path))).problems)


async def test_sources_that_are_whole_have_no_problem(repo: Repo) -> None:
    assert await problems(repo) == []


async def test_every_source_is_looked_at(repo: Repo) -> None:
    repo.git("mv", "web", "site")
    repo.git("mv", "api/docker/Dockerfile.prod", "api/docker/Dockerfile.production")
    (repo.path / "api/link").symlink_to("/etc/passwd")
    repo.commit()
    found = await problems(repo)
    assert [problem.problem for problem in found] == [
        "The Dockerfile docker/Dockerfile.prod of service api is not in its source; "
        "did you mean 'docker/Dockerfile.production'?",
        "The source of service api cannot be packed: "
        "the symbolic link link leads out of the source folder, to /etc/passwd.",
        "The source folder web of service web is not in the repository.",
    ]
    assert "services.api.dockerfile" in found[0].fix


async def test_sources_do_not_matter_where_nothing_is_built(repo: Repo) -> None:
    repo.git("mv", "web", "site")
    request = replace(a_request(text=MANIFEST, folder=repo.path), builds=False)
    assert (await check_sources(request)).problems == ()


async def test_a_source_that_is_a_link_out_of_the_repository_is_refused(repo: Repo, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    repo.git("rm", "--quiet", "-r", "web")
    (repo.path / "web").symlink_to(tmp_path / "home")
    (found,) = await problems(repo)
    assert "is a link that leads out of the repository" in found.problem


async def test_a_source_with_nothing_in_it_is_refused(repo: Repo) -> None:
    repo.write("web/.dockerignore", "*\n")
    (repo.path / "web/main.py").unlink()
    (repo.path / "web/.dockerignore").rename(repo.path / "web/.gcloudignore")
    (found,) = await problems(repo)
    assert "is empty, or everything in it is ignored" in found.problem


@pytest.mark.parametrize("ignored", [False, True])
async def test_a_submodule_that_cannot_be_had_is_a_problem_of_the_service_that_packs_it(
    repo: Repo, ignored: bool
) -> None:
    clone = repo.cloned_without("web/lib", ignored=ignored)
    found = await problems(clone)
    assert [problem.problem.split(":")[0] for problem in found] == (
        [] if ignored else ["The submodule web/lib in the source of service web is not here"]
    )


async def test_pointers_of_git_lfs_are_no_files(repo: Repo) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 5\n"
    repo.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
    repo.write("web/example.txt", pointer)
    repo.write("web/model.bin", pointer)
    (found,) = await problems(repo)
    assert found.problem == "The source of service web has pointers of git-lfs instead of files: model.bin."
    assert "git lfs install" in found.fix


async def test_what_no_clone_can_read_is_said_with_what_to_do(repo: Repo) -> None:
    repo.write(".gitattributes", "*.key filter=git-crypt diff=git-crypt\n")
    (repo.path / "web/api.key").write_bytes(b"\0GITCRYPT\0" + bytes(2000))
    (repo.path / "web/notes.bin").write_bytes(b"\0GITCRYPT\0")
    repo.write("web/model.bin", "/annex/objects/SHA256E-s10--0123.bin\n")
    crypt, annex = await problems(repo)
    assert crypt.problem == (
        "The source of service web has files that git-crypt has encrypted, which no clone can read: api.key."
    )
    assert "`secrets` in slipway.yaml" in crypt.fix
    assert annex.problem == "The source of service web has pointers of git-annex instead of files: model.bin."
    repo.write("web/.dockerignore", "*.key\n*.bin\n")
    assert await problems(repo) == []
