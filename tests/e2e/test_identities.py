"""A private service is released with the credentials that people and their workloads have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from flows.deploy import deploy
from infra.gcp.calls.clients import use_credentials
from tasks.source.source import Source
from tests.conftest import LocalCloud, environment
from tests.e2e.conftest import App, program
from tests.infra.emulator.identities import grant, grant_on, impersonating, new_identity, new_workload

pytestmark = pytest.mark.usefixtures("cloud_env")

PRIVATE = "  web: {health: {body: ok, tries: 2, backoff_min: 0.1s}}"
Acting = Callable[[Path], AbstractContextManager[None]]


@pytest.fixture
def acting() -> Acting:
    @contextmanager
    def by(file: Path) -> Iterator[None]:
        use_credentials(None)
        with environment({"GOOGLE_APPLICATION_CREDENTIALS": str(file)}):
            yield
        use_credentials(None)

    return by


@pytest.fixture
def private(app: App) -> App:
    app.write("web", program())
    app.manifest(PRIVATE)
    app.commit("v1.0.0")
    return app


async def test_a_user_releases_a_private_service(
    private: App, acting: Acting, cloud: LocalCloud, tmp_path: Path
) -> None:
    prober = new_identity(tmp_path, ["roles/run.invoker"])
    private.manifest(PRIVATE, f"prober: {prober.email}")
    private.commit("v1.0.1")
    with acting(cloud.data / "user.json"):
        told = await deploy(Source(repository=str(private.folder)), "production", return_state=True)
    assert "iam.serviceAccounts.getOpenIdToken" in str(told.message)
    assert "--member=user:you@example.com --role=roles/iam.serviceAccountOpenIdTokenCreator" in str(told.message)
    assert "Nothing was changed." in str(told.message)
    grant_on(prober, "user:you@example.com", "roles/iam.serviceAccountOpenIdTokenCreator")
    with acting(cloud.data / "user.json"):
        release = await deploy(Source(repository=str(private.folder)), "production")
    assert release.version.version == "v1.0.1"


async def test_an_impersonated_account_releases_a_private_service(
    private: App, acting: Acting, cloud: LocalCloud, tmp_path: Path
) -> None:
    account = new_identity(tmp_path, ["roles/owner"])
    grant_on(account, "user:you@example.com", "roles/iam.serviceAccountTokenCreator")
    with acting(impersonating(tmp_path, cloud.data / "user.json", account)):
        release = await deploy(Source(repository=str(private.folder)), "production")
    assert release.live


async def test_a_federated_workload_releases_a_private_service_as_an_account_and_as_itself(
    private: App, acting: Acting, tmp_path: Path
) -> None:
    account = new_identity(tmp_path, ["roles/owner"])
    workload = new_workload(tmp_path, new_identity(tmp_path), acts_as=account)
    grant_on(account, workload.member, "roles/iam.workloadIdentityUser")
    with acting(workload.key_file):
        assert (await deploy(Source(repository=str(private.folder)), "production")).live
    private.manifest(PRIVATE, f"prober: {account.email}")
    private.commit("v1.0.1")
    workload = new_workload(tmp_path, new_identity(tmp_path))
    grant(workload.member, "roles/owner")
    grant_on(account, workload.member, "roles/iam.serviceAccountOpenIdTokenCreator")
    with acting(workload.key_file):
        assert (await deploy(Source(repository=str(private.folder)), "production")).version.version == "v1.0.1"
