"""Worker pools of slipway.yaml: deployed with the services by digest, proven by how they run, given back with them."""

from __future__ import annotations

import zlib
from typing import Any

import pytest

from infra.gcp.run import worker_pools
from infra.gcp.run.worker_pools import RunPool, Split
from tasks.failures.errors import ProofFailed
from tasks.history.record import State
from tasks.history.store import read_history
from tasks.model import Outcome
from tests.conftest import PROJECT
from tests.e2e.conftest import REGION, App, program
from tests.e2e.releases import DIRECT, HEALTH, describe, go_back, live, new_app, ship
from tests.infra.emulator.emulated_pools import eventually, lines_of

pytestmark = pytest.mark.usefixtures("cloud_env")

WORKER = """\
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("works as", os.environ["MODE"], flush=True)
WORK
"""
GOOD, BAD = "while True: time.sleep(60)", "sys.exit(7)"


@pytest.fixture
def app(tmp_path: Any, request: pytest.FixtureRequest) -> App:
    return new_app(tmp_path, f"p{zlib.crc32(request.node.name.encode()):08x}")


def write(app: App, version: str, *, work: str = GOOD, settings: str = "scaling: 3") -> None:
    """A commit of this version whose worker says so and does this work."""
    app.write("web", program())
    (app.folder / "web" / "worker.py").write_text(WORKER.replace("WORK", work))
    pool = f"command: [python, worker.py], env: {{MODE: {version}}}, watch: 1s, {settings}"
    describe(app, f"  web: {{health: {HEALTH}}}\nworker_pools:\n  mailer: {{{pool}}}", production=DIRECT)
    app.commit(version)


async def pool_of(app: App) -> RunPool:
    found = await worker_pools.get_pool(f"projects/{PROJECT}/locations/{REGION}/workerPools/{app.name}-mailer")
    assert found is not None
    return found


async def test_a_pool_is_released_keeps_what_others_set_and_comes_back_when_it_fails_or_is_rolled_back(
    app: App,
) -> None:
    write(app, "v1.0.0")
    released = await ship(app)
    first = await pool_of(app)
    (revision,) = first.asked
    assert first.instances == 3 and first.template["containers"][0]["image"] == released.images[0].reference
    eventually(lambda: lines_of(first.id, revision).count("works as v1.0.0") >= 3)
    body = {"description": "of the mail team", "scaling": {"manualInstanceCount": 2}}
    await worker_pools.write_pool(first.name, body, first, 60)

    write(app, "v1.1.0", settings="labels: {team: red}")
    await ship(app)
    second = await pool_of(app)
    (newer,) = second.asked
    assert newer != revision and second.body["description"] == "of the mail team"
    assert (second.labels["team"], second.instances) == ("red", 1)  # what was said and is not any more goes

    write(app, "v1.2.0", work=BAD)
    with pytest.raises(ProofFailed, match=r"ended by themselves: Container called exit\(7\)"):
        await ship(app)
    after = await pool_of(app)
    assert (after.asked, after.instances, after.template) == ({newer: 100}, 1, second.template)
    assert await live(app) == {"v1.1.0": 100}
    record = (await read_history(f"{PROJECT}-slipway", app.name, "production", limit=1))[0]
    assert (record.state, record.pools[0].outcome, record.is_open) == (State.FAILED, Outcome.TAKEN_BACK, False)

    await go_back(app)
    back = await pool_of(app)
    assert (back.splits, back.instances, back.template["revision"]) == ((Split(revision, 100),), 3, revision)
    assert await live(app) == {"v1.0.0": 100}
