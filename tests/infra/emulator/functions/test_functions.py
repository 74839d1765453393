"""Cloud Functions as clients meet them: built by Cloud Build, run by Cloud Run, deleted with what they stand on."""

from __future__ import annotations

import asyncio
import io
import zipfile
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.api_core import exceptions
from google.api_core.exceptions import GoogleAPICallError
from google.cloud import functions_v2, storage

from infra.emulator.functions.deployment import Deployment
from infra.emulator.functions.state import FunctionPb, Functions, State
from infra.emulator.run.system import CloudRun
from infra.emulator.server import Emulator, Settings
from tests.conftest import PROJECT, LocalCloud
from tests.infra.emulator.emulated_gateway import QUICK
from tests.infra.emulator.emulated_process import rest_of
from tests.infra.emulator.emulated_run import HELLO, PARENT, new_name


@pytest.fixture
def source(cloud_env: dict[str, str]) -> dict[str, str]:
    """In a bucket, as gcloud puts it there; there is nothing that a buildpack knows in it."""
    bucket = storage.Client().create_bucket(f"{PROJECT}-{new_name('source')}")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("README", "nothing to build")
    bucket.blob("source.zip").upload_from_string(packed.getvalue())
    return {"bucket": bucket.name, "object_": "source.zip"}


def function(source: dict[str, str], **build: Any) -> functions_v2.Function:
    config = {"runtime": "python312", "entry_point": "serve", "source": {"storage_source": source}, **build}
    return functions_v2.Function(build_config=config)


def refusal(work: Any) -> GoogleAPICallError:
    with pytest.raises(GoogleAPICallError) as raised:
        work()
    return raised.value


@pytest.mark.usefixtures("cloud_env")
def test_a_function_that_cannot_be_built_fails_with_its_build_and_can_be_deleted(
    cloud: LocalCloud, source: dict[str, str]
) -> None:
    client, function_id = functions_v2.FunctionServiceClient(), new_name("broken")
    name = f"{PARENT}/functions/{function_id}"
    started = client.create_function(parent=PARENT, function_id=function_id, function=function(source))
    error = refusal(lambda: started.result(polling=QUICK))
    assert "Build failed with status: FAILURE" in error.message
    found = client.get_function(name=name)
    assert (found.state, found.environment.name) == (functions_v2.Function.State.FAILED, "GEN_2")
    assert found.state_messages[0].message in error.message
    taken = function(source)
    again = refusal(lambda: client.create_function(parent=PARENT, function_id=function_id, function=taken))
    assert isinstance(again, exceptions.AlreadyExists)
    with rest_of(cloud, "cloudfunctions") as rest:
        assert rest.get(f"/v2/{name}").json()["serviceConfig"]["availableMemory"] == "256M"
        assert name in [each["name"] for each in rest.get(f"/v2/{PARENT}/functions").json()["functions"]]
        assert rest.get(f"/v2/{started.operation.name}").json()["metadata"]["operationType"] == "CREATE_FUNCTION"
    client.delete_function(name=name).result(polling=QUICK)
    assert isinstance(refusal(lambda: client.get_function(name=name)), exceptions.NotFound)


@pytest.mark.parametrize(
    ("build", "text"),
    [({"runtime": "cobol85"}, "is not supported"), ({"entry_point": ""}, "entry point must be set")],
)
def test_what_no_function_can_be_is_refused(source: dict[str, str], build: dict[str, str], text: str) -> None:
    client, wanted = functions_v2.FunctionServiceClient(), function(source, **build)
    error = refusal(lambda: client.create_function(parent=PARENT, function_id="refused", function=wanted))
    assert (type(error), text in error.message) == (exceptions.InvalidArgument, True)


async def test_a_built_function_is_a_service_of_cloud_run_and_goes_with_it(tmp_path: Path) -> None:
    principal = f"deployer@{PROJECT}.iam.gserviceaccount.com"
    async with Emulator(Settings(tmp_path, (PROJECT,), "instant")) as emulator:
        functions = emulator.cloud.get(Functions)
        deployment = Deployment(emulator.cloud, functions)
        made = FunctionPb(name=f"{PARENT}/functions/shop", labels={"app": "shop"})
        said = made.service_config
        said.timeout_seconds, said.available_memory, said.available_cpu = 60, "256M", "0.1666"
        said.max_instance_request_concurrency = 1
        service = await deployment.serve(made, HELLO, principal)
        assert dict(service.labels) == {"app": "shop", "goog-managed-by": "cloudfunctions"}
        answer = await asyncio.to_thread(httpx.get, service.uri, trust_env=False)
        assert answer.status_code == 403  # as every service of Cloud Run that nobody may invoke yet
        functions.put(made, State.ACTIVE)
        await deployment.remove(made, principal)
        assert made.name not in functions.table
        assert list(emulator.cloud.get(CloudRun).state.services.list()) == []
