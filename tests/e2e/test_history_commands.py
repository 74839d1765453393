"""`slipway history` and `slipway status` say what was released and what serves."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from infra.gcp.run import services
from infra.gcp.run.revisions import list_revisions
from infra.gcp.run.traffic import TrafficTarget
from tests.cli.command import slipway
from tests.conftest import OTHER_PROJECT, PROJECT
from tests.e2e.conftest import REGION, App, program
from tests.e2e.releases import find, released, ship

pytestmark = pytest.mark.usefixtures("cloud_env")


async def command(app: App, folder: Path, *arguments: str) -> str:
    done = await asyncio.to_thread(slipway, *arguments, "--repository", str(app.folder), cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_the_commands_tell_what_was_released_and_what_serves(app: App, tmp_path: Path) -> None:
    await released(app)
    app.write("web", program(status=500))
    app.commit("v1.1.0")
    with pytest.raises(Exception, match="status 500"):
        await ship(app)

    failed, first = json.loads(await command(app, tmp_path, "history", "--environment=production", "--json"))
    assert (failed["version"], failed["state"]) == ("v1.1.0", "failed")
    assert (first["version"], first["state"]) == ("v1.0.0", "released")
    table = await command(app, tmp_path, "history", "--environment=production")
    assert "v1.1.0" in table
    assert "status 500" in " ".join(table.split())  # wherever the cell is wrapped

    (serves,) = json.loads(await command(app, tmp_path, "status", "--json"))
    place = (serves["environment"], serves["service"], serves["region"])
    assert place == ("production", "web", REGION)
    assert (serves["desired"], serves["current"], serves["standing"]) == ("v1.0.0", {"v1.0.0": 100}, "in step")

    service = await find(app)
    other = next(r for r in await list_revisions(service.name) if r.name not in {t.revision for t in service.live})
    good = next(str(target.revision) for target in service.live if target.percent)
    split = [TrafficTarget(good, 60), TrafficTarget(other.name, 40)]
    await services.set_traffic(service.name, split, service.etag, 30)
    (serves,) = json.loads(await command(app, tmp_path, "status", "--environment=production", "--json"))
    assert serves["standing"] == "differs"
    assert serves["current"]["v1.0.0"] == 60


@pytest.mark.parametrize("project", [PROJECT, OTHER_PROJECT], ids=["with a bucket", "without a bucket"])
async def test_an_environment_without_any_release_is_no_error(app: App, tmp_path: Path, project: str) -> None:
    app.write("web", program())
    app.manifest("  web: {}", project=project)
    assert "Nothing was released here yet." in await command(app, tmp_path, "history", "--environment=production")
    (serves,) = json.loads(await command(app, tmp_path, "status", "--json"))
    assert (serves["standing"], serves["current"]) == ("never released", {})
