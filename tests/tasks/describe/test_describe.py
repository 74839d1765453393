"""Whatever is written, `slipway check` accepts; and no secret of the repository is in it.

SLIPWAY_WORLDS sets the number of repositories that are made up.
"""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.describe.describe import describe
from tasks.describe.proposal import app_name, named
from tasks.describe.scan import scan
from tasks.describe.write import write_manifest
from tasks.failures.errors import ManifestError, ParameterError
from tasks.manifest.loading import judge
from tasks.preflight.offline import check_folder
from tests.tasks.repos import Repo

TEXT = st.text(max_size=12)
NAMES = (
    st.sampled_from(["api", "Web_1", "9", "true", "a-very-long-name-of-a-service-indeed", "é", "PORT", "x y"]) | TEXT
)
VALUES = (
    TEXT | st.integers() | st.booleans() | st.none() | st.sampled_from(["${X:-1}", "$Y", "http://api:80", "a: b #c"])
)
VARIABLES = st.dictionaries(NAMES | st.sampled_from(["API_URL", "A", "K_SERVICE"]), VALUES, max_size=3)
SERVICE = st.fixed_dictionaries(
    {"build": st.just("api") | st.just(".") | st.fixed_dictionaries({"context": st.just("."), "args": VARIABLES})},
    optional={
        "expose": VALUES,
        "ports": VALUES | st.lists(VALUES | st.just("80:81") | st.just({"target": 5000}), max_size=2),
        "environment": VALUES | VARIABLES | st.lists(TEXT, max_size=2),
        "depends_on": VALUES | st.lists(NAMES, max_size=2),
        "command": TEXT,
    },
)
DOCKERFILE = st.lists(
    st.sampled_from(["FROM a", "EXPOSE 80", "EXPOSE 1 2", "COPY . .", "COPY x /", "ARG A", "ARG PORT", "ENV A=1"]),
    max_size=6,
).map("\n".join)


@settings(max_examples=int(os.environ.get("SLIPWAY_WORLDS", "40")))
@given(st.dictionaries(NAMES, SERVICE, max_size=3) | st.none(), DOCKERFILE, NAMES)
def test_what_is_written_is_a_manifest(services: dict[str, object] | None, dockerfile: str, folder: str) -> None:
    files = {"Dockerfile": dockerfile, "api/Dockerfile": dockerfile, "api/x": "", "web.Dockerfile": dockerfile}
    if services is not None:
        files["compose.yaml"] = yaml.safe_dump({"services": services})
    said = scan(files, files.__getitem__)
    app = app_name(folder, said)
    said = named(said, app)
    judged = judge(write_manifest(said, app))
    assert judged.faults == ()
    assert judged.manifest is not None
    for each in said.services:
        service, pool = judged.manifest.services.get(each.name), judged.manifest.worker_pools.get(each.name)
        assert (service is None, pool is None) == (each.works is not None, each.works is None)
        written = service or pool
        assert written
        assert written.env == each.env
        assert (pool and pool.service) or (written.source, written.build.args) == (each.source, each.args)
        assert service is None or (service.port, service.depends_on) == (each.port or 8080, each.depends_on)


PARTS = st.sampled_from(["api", "web", "back\\slash", "tab\t", "ünï", "docker", "a b", "-x"])


@settings(max_examples=15)
@given(st.lists(st.lists(PARTS, min_size=1, max_size=3), min_size=1, max_size=4), st.booleans())
async def test_the_check_accepts_what_is_written(folders: list[list[str]], linked: bool) -> None:
    with TemporaryDirectory() as place:
        root = Path(place)
        for parts in folders:
            folder = root.joinpath(*parts)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "Dockerfile").write_text("FROM scratch\nCOPY . .\n")
            (folder / "main.py").touch()
        if linked:
            (folder / "out").unlink(missing_ok=True)
            (folder / "out").symlink_to("/etc/passwd")
        try:
            text, _ = await describe(root)
        except ManifestError as refused:
            assert "was left out" in str(refused)
            return
        assert await check_folder(root, text=text) == []
        (root / "slipway.yaml").write_text(text)
        assert await check_folder(root) == []


async def test_only_what_git_has_counts(tmp_path: Path) -> None:
    repo = Repo.init(tmp_path / "shop")
    repo.commit(**{"api/Dockerfile": "FROM scratch", "old/Dockerfile": "FROM scratch", ".gitignore": "old\n"})
    repo.git("rm", "-r", "--quiet", "--cached", "--ignore-unmatch", "old")
    text, said = await describe(repo.path, project="acme-staging", region="us-east1")
    assert [each.name for each in said.services] == ["api"]
    assert "project: acme-staging\n" in text
    assert "regions: [us-east1]\n" in text


async def test_a_migration_of_a_procfile_becomes_a_job_that_runs_before_traffic(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").touch()
    (tmp_path / "Procfile").write_text("web: gunicorn app\nmigrate: python manage.py migrate\n")
    text, _ = await describe(tmp_path)
    manifest = judge(text).manifest
    assert manifest is not None
    assert manifest.jobs["migrate"].command == ("migrate",)
    assert [hook.name for hook in manifest.environments["staging"].before] == ["migrate"]


async def test_a_folder_with_nothing_to_ship_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ManifestError, match=r"There is nothing in .* of which a service could be made"):
        await describe(tmp_path)


@pytest.mark.parametrize("given", [{"app": "Shop"}, {"project": "x"}, {"region": "Europe"}])
async def test_a_name_that_is_none_is_refused_as_the_option_that_it_is(tmp_path: Path, given: dict[str, str]) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch")
    ((option, value),) = given.items()
    with pytest.raises(ParameterError, match=f"^--{option} {value}: must be"):
        await describe(tmp_path, **given)
