"""What the first version of Slipway has shipped is shipped by today's: nothing of it is lost, and nothing doubled."""

from __future__ import annotations

import json

import pytest

from infra.gcp.run import services
from infra.gcp.run.revisions import list_revisions
from infra.gcp.storage import objects
from tasks.history.store import record_name
from tests.conftest import PROJECT
from tests.e2e.conftest import App, program
from tests.e2e.releases import find, go_back, history, live, released, ship
from tests.tasks.history.test_early import first

pytestmark = pytest.mark.usefixtures("cloud_env")
BUCKET = f"{PROJECT}-slipway"


async def kept_as_the_first_version_did(app: App) -> None:
    """The app's one record."""
    [today] = await history(app)
    [target] = today.targets
    said = today.model_dump(mode="json", include={"started", "finished", "run_id", "commit"})
    images = {"web": target.image}
    earlier = first(app.name, "v1.0.0", target.revision, environment="production", images=images, **said)
    earlier["targets"][0]["digest"] = target.image.partition("@")[2]
    name = record_name(today)
    written = await objects.find_object(BUCKET, name)
    assert written is not None
    await objects.write_text(BUCKET, name, json.dumps(earlier).encode(), written.generation)


async def test_a_release_over_a_first_record_keeps_what_is_set_and_goes_back_to_what_it_had(app: App) -> None:
    await released(app)
    await kept_as_the_first_version_did(app)
    service = await find(app)
    containers = [{**service.body["template"]["containers"][0], "env": [{"name": "BY_HAND", "value": "1"}]}]
    by_hand = {"name": service.name, "template": {**service.body["template"], "revision": "", "containers": containers}}
    await services.update_service(by_hand, ["template"], 30)
    app.write("web", program(body="ok 2"))
    app.commit("v1.1.0")
    await ship(app)
    assert await live(app) == {"v1.1.0": 100}
    [container] = (await find(app)).body["template"]["containers"]
    assert {"name": "BY_HAND", "value": "1"} in container["env"]
    assert len(await list_revisions(service.name)) == 4  # the placeholder, that by hand, and one of each release

    await go_back(app)
    assert await live(app) == {"v1.0.0": 100}
    newest, _, earliest = await history(app)
    assert (newest.action, newest.version) == ("rollback", "v1.0.0")
    assert newest.targets[0].image == earliest.targets[0].image != ""
