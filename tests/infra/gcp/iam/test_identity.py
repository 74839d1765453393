"""Who we are and whose ID tokens we can make, by every kind of credentials that there is a file for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from google.auth.transport.requests import Request
from google.oauth2 import id_token

from infra.gcp.calls.clients import use_credentials
from infra.gcp.calls.errors import GoogleError
from infra.gcp.iam.identity import fetch_id_token, member, whoami
from tests.conftest import LocalCloud, environment
from tests.infra.emulator.identities import Identity, grant_on, impersonating, new_identity, new_workload

AUDIENCE = "https://shop-web-42.europe-west1.run.app"
TOKENS = "roles/iam.serviceAccountOpenIdTokenCreator"
IMPERSONATE = "roles/iam.serviceAccountTokenCreator"
FEDERATE = "roles/iam.workloadIdentityUser"
Acting = Callable[[Path], AbstractContextManager[None]]


@pytest.fixture
async def acting(cloud_env: dict[str, str]) -> AsyncIterator[Acting]:
    """Within, Application Default Credentials are those of the file."""

    @contextmanager
    def by(file: Path):  # type: ignore[no-untyped-def]
        use_credentials(None)
        with environment({"GOOGLE_APPLICATION_CREDENTIALS": str(file)}):
            yield
        use_credentials(None)

    yield by


@pytest.fixture
def account(cloud_env: dict[str, str], tmp_path: Path) -> Identity:
    return new_identity(tmp_path)


def bearer(token: str) -> str:
    """Whose token it is, checked as a service checks it."""
    return str(id_token.verify_oauth2_token(token, Request(), AUDIENCE)["email"])


async def test_a_service_accounts_key_makes_its_own_tokens(acting: Acting, account: Identity) -> None:
    with acting(account.key_file):
        assert bearer(await fetch_id_token(AUDIENCE)) == account.email
        assert await member() == account.member


async def test_a_user_has_no_tokens_but_those_of_an_account_that_lets_them(
    acting: Acting, account: Identity, cloud: LocalCloud
) -> None:
    with acting(cloud.data / "user.json"):
        assert await whoami() == ""
        assert await member() == "user:you@example.com"
        with pytest.raises(GoogleError, match="no service account's") as without:
            await fetch_id_token(AUDIENCE)
        assert without.value.status == "FAILED_PRECONDITION"
        with pytest.raises(GoogleError, match="getOpenIdToken") as denied:  # an owner may not do that either
            await fetch_id_token(AUDIENCE, account.email)
        assert denied.value.status == "PERMISSION_DENIED"
    grant_on(account, "user:you@example.com", TOKENS)
    with acting(cloud.data / "user.json"):
        assert bearer(await fetch_id_token(AUDIENCE, account.email)) == account.email


async def test_an_impersonated_account_has_tokens_where_its_user_may_make_them(
    acting: Acting, account: Identity, cloud: LocalCloud, tmp_path: Path
) -> None:
    file = impersonating(tmp_path, cloud.data / "user.json", account)
    with acting(file):
        assert await member() == account.member
        with pytest.raises(GoogleError, match="getOpenIdToken") as denied:
            await fetch_id_token(AUDIENCE)
        assert denied.value.status == "PERMISSION_DENIED"
    grant_on(account, "user:you@example.com", IMPERSONATE)
    with acting(file):
        assert bearer(await fetch_id_token(AUDIENCE)) == account.email


async def test_a_federated_workload_has_the_tokens_of_the_account_it_acts_as(
    acting: Acting, account: Identity, tmp_path: Path
) -> None:
    """The account itself may nothing: the workload asks in its own name."""
    workload = new_workload(tmp_path, new_identity(tmp_path), acts_as=account)
    grant_on(account, workload.member, FEDERATE)
    with acting(workload.key_file):
        assert await member() == account.member
        assert bearer(await fetch_id_token(AUDIENCE)) == account.email


async def test_a_federated_workload_that_acts_as_itself_needs_an_account(
    acting: Acting, account: Identity, tmp_path: Path
) -> None:
    workload = new_workload(tmp_path, new_identity(tmp_path))
    grant_on(account, workload.member, TOKENS)
    with acting(workload.key_file):
        assert await member() == f"{workload.member.rpartition('/')[0]}/SUBJECT"
        with pytest.raises(GoogleError, match="no service account's"):
            await fetch_id_token(AUDIENCE)
        assert bearer(await fetch_id_token(AUDIENCE, account.email)) == account.email


async def test_a_key_makes_the_tokens_of_another_account_only_where_it_may(
    acting: Acting, account: Identity, tmp_path: Path
) -> None:
    other = new_identity(tmp_path)
    with acting(other.key_file), pytest.raises(GoogleError, match="getOpenIdToken"):
        await fetch_id_token(AUDIENCE, account.email)
    grant_on(account, other.member, TOKENS)
    with acting(other.key_file):
        assert bearer(await fetch_id_token(AUDIENCE, account.email)) == account.email
