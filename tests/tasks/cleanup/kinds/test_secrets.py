"""Secrets and their versions on the local cloud: what nothing names is disabled, and goes a week later."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.cloud import functions_v2, secretmanager_v1
from google.cloud.devtools import cloudbuild_v1, cloudbuild_v2

from infra.gcp import functions
from infra.gcp.calls.errors import GoogleError
from infra.gcp.run.templates import Template
from tasks.cleanup.carry_out import said
from tasks.cleanup.engine.model import DELETE, Policy
from tasks.cleanup.engine.plan import plan
from tasks.cleanup.kinds.secret_versions import SecretVersions
from tasks.cleanup.kinds.secrets import Secrets, named_in
from tasks.cleanup.kinds.template_uses import RecordedUses, TemplateUses
from tests.conftest import PROJECT, LocalCloud
from tests.tasks.cleanup.estate import LATER, Estate, a_manifest, faulty, in_words
from tests.tasks.cleanup.looks import a_look, a_revision, a_service

Client = secretmanager_v1.SecretManagerServiceClient
AT = f"projects/{PROJECT}/locations/europe-west1"
BOTH = ("secrets", "secret_versions")
_numbers = itertools.count(1)


@pytest.fixture
def client(cloud_env: dict[str, str]) -> Client:
    return Client()


class Made:
    """Secrets with a prefix that no other test has."""

    def __init__(self, client: Client) -> None:
        self.client, self.prefix = client, f"kept{next(_numbers)}-"

    def secret(self, name: str, versions: int = 1, **more: Any) -> str:
        """Its short name."""
        body = {"replication": {"automatic": {}}, **more}
        asked = {"parent": f"projects/{PROJECT}", "secret_id": self.prefix + name, "secret": body}
        made = self.client.create_secret(request=asked)
        for number in range(versions):
            self.client.add_secret_version(request={"parent": made.name, "payload": {"data": b"%d" % number}})
        return self.prefix + name

    def name(self, name: str, version: int = 0) -> str:
        return f"projects/{PROJECT}/secrets/{self.prefix}{name}" + (f"/versions/{version}" if version else "")

    def state(self, name: str, version: int) -> str:
        return str(self.client.get_secret_version(name=self.name(name, version)).state.name)

    def estate(
        self, *, secrets: str = "", foreign: tuple[str, ...] = ("secrets", "secret_versions"), **there: Any
    ) -> Estate:
        request = a_manifest(PROJECT, foreign, secrets)
        now = datetime.now(UTC) + timedelta(days=2)
        consumers = (TemplateUses(), RecordedUses())
        return Estate((SecretVersions(), Secrets()), self.prefix, a_look((request,), **there), now, consumers)


@pytest.fixture
def made(client: Client) -> Made:
    return Made(client)


async def test_a_secret_that_nothing_names_is_disabled_and_goes_a_week_later(made: Made) -> None:
    made.secret("forgotten")
    estate = made.estate()
    assert await estate.carry_out() == [f"disable all versions secrets/{made.prefix}forgotten"]
    assert made.state("forgotten", 1) == "DISABLED"
    assert await estate.carry_out() == []  # it has not been so for a week
    estate.now += LATER
    assert await estate.carry_out() == [f"delete secrets/{made.prefix}forgotten"]
    assert made.prefix + "forgotten" not in {
        each.name.rpartition("/")[2] for each in made.client.list_secrets(parent=f"projects/{PROJECT}")
    }


async def test_whoever_enables_a_version_again_keeps_the_secret(made: Made) -> None:
    made.secret("wanted")
    estate = made.estate()
    await estate.carry_out()
    made.client.enable_secret_version(name=made.name("wanted", 1))
    estate.now += LATER
    assert await estate.carry_out() == []  # nor does clean-up disable it again
    estate.now += timedelta(days=366)
    assert await estate.carry_out() == [f"disable all versions secrets/{made.prefix}wanted"]  # from the beginning


async def test_what_a_person_has_disabled_is_not_half_way_to_its_end(made: Made) -> None:
    secret = made.secret("resting", versions=2)
    for number in (1, 2):
        made.client.disable_secret_version(name=made.name("resting", number))
    estate = made.estate()
    await estate.world()
    version, whole = f"secrets/{secret}/versions/1", f"secrets/{secret}"
    for steps in ([f"disable {version}"], [f"delete {version}", f"disable all versions {whole}"], [f"delete {whole}"]):
        estate.now += LATER
        assert await estate.carry_out() == steps


async def test_old_versions_go_and_the_newest_stays_with_its_secret(made: Made) -> None:
    """`latest` is the highest number, and a release is pinned to the newest that is enabled."""
    secret = made.secret("rotated", versions=4)
    made.client.disable_secret_version(name=made.name("rotated", 4))
    estate = made.estate(secrets=f'secrets: {{KEY: "{secret}:1"}}')
    assert await estate.carry_out() == [f"disable secrets/{secret}/versions/2"]
    estate.now += LATER
    assert await estate.carry_out() == [f"delete secrets/{secret}/versions/2"]
    assert [made.state("rotated", number) for number in (1, 2, 3, 4)] == ["ENABLED", "DESTROYED", "ENABLED", "DISABLED"]


async def test_what_templates_name_stays_however_they_name_it(made: Made) -> None:
    pinned, floating, mounted, told, numbered = (
        made.secret(name, versions=2) for name in ("pinned", "floating", "mounted", "told", "numbered")
    )
    number = made.client.get_secret(name=made.name("numbered")).name.split("/")[1]
    revision = Template(
        secrets=((pinned, "1"), (floating, "latest"), (f"projects/{number}/secrets/{numbered}", "1")),
        words=(f"projects/{PROJECT}/secrets/{told}/versions/1", "info"),
    )
    service = a_service(f"{AT}/services/web", template=Template(secrets=((mounted, "latest"),)))
    old = a_revision(f"{AT}/services/web/revisions/web-1", template=revision)
    estate = made.estate(services=[service], revisions=[old])
    assert {in_words(each) for each in (await estate.plan()).steps} == {
        f"disable secrets/{floating}/versions/1",
        f"disable secrets/{mounted}/versions/1",
    }


async def test_what_a_build_trigger_reads_stays(made: Made) -> None:
    secret = made.secret("built", versions=3)
    trigger = cloudbuild_v1.BuildTrigger(name=f"{made.prefix}trigger", filename="cloudbuild.yaml")
    read = cloudbuild_v1.SecretManagerSecret(version_name=made.name("built", 1), env="KEY")
    trigger.build.available_secrets.secret_manager = [read]
    request = {"parent": f"projects/{PROJECT}/locations/europe-west1", "project_id": PROJECT, "trigger": trigger}
    cloudbuild_v1.CloudBuildClient().create_build_trigger(request=request)
    plan = await made.estate().plan()
    assert [in_words(each) for each in plan.steps] == [f"disable secrets/{secret}/versions/2"]
    assert f"build trigger {made.prefix}trigger" in {each.detail for each in plan.kept}


async def test_the_token_of_a_connection_to_a_git_host_stays_wherever_the_connection_is(made: Made) -> None:
    """No build, trigger or template names it: Cloud Build reads it by itself, and every trigger needs it."""
    secret = made.secret("github-oauthtoken")
    github = {"authorizer_credential": {"oauth_token_secret_version": made.name("github-oauthtoken", 1)}}
    cloudbuild_v2.RepositoryManagerClient().create_connection(
        parent=f"projects/{PROJECT}/locations/us-west1",
        connection_id=f"{made.prefix}git",
        connection=cloudbuild_v2.Connection({"github_config": {**github, "app_installation_id": 7}}),
    ).result()
    plan = await made.estate().plan()
    assert not plan.steps
    assert f"connection {made.prefix}git in us-west1" in {each.detail for each in plan.kept}, secret


async def test_what_a_build_has_read_of_late_stays(made: Made) -> None:
    """Its trigger leads to a file in a repository, which nobody here has read."""
    secret = made.secret("read", versions=3)
    build = cloudbuild_v1.Build(steps=[cloudbuild_v1.BuildStep(name="scratch", id="read")])
    read = cloudbuild_v1.SecretManagerSecret(version_name=made.name("read", 1), env="KEY")
    build.available_secrets.secret_manager = [read]
    parent = f"projects/{PROJECT}/locations/europe-west1"
    cloudbuild_v1.CloudBuildClient().create_build(request={"parent": parent, "project_id": PROJECT, "build": build})
    plan = await made.estate().plan()
    assert [in_words(each) for each in plan.steps] == [f"disable secrets/{secret}/versions/2"]
    assert "builds in europe-west1" in {each.detail for each in plan.kept}
    later = made.estate()
    later.now += timedelta(days=100)
    assert len((await later.plan()).steps) > 1


def test_a_function_of_the_first_generation_reads_secrets_too() -> None:
    service = functions_v2.ServiceConfig(
        secret_environment_variables=[{"key": "A", "project_id": "7", "secret": "a", "version": "3"}],
        secret_volumes=[{"project_id": "p", "secret": "b", "versions": [{"version": "latest", "path": "b"}]}],
        environment_variables={"C": "projects/p/secrets/c"},
    )
    function = functions_v2.Function(service_config=service, environment="GEN_1")
    found = list(functions._texts(functions_v2.Function.pb(function)))
    assert found == ["projects/7/secrets/a/versions/3", "projects/p/secrets/b/versions/latest", "projects/p/secrets/c"]


async def test_an_alias_holds_a_version_but_not_its_secret(made: Made) -> None:
    secret = made.secret("aliased", versions=3)
    found = made.client.get_secret(name=made.name("aliased"))
    found.version_aliases["good"] = 1
    made.client.update_secret(request={"secret": found, "update_mask": {"paths": ["version_aliases"]}})
    used = made.estate(secrets=f"secrets: {{KEY: {secret}}}")
    assert [in_words(each) for each in (await used.plan()).steps] == [f"disable secrets/{secret}/versions/2"]
    unused = made.estate(foreign=("secrets",))
    assert [in_words(each) for each in (await unused.plan()).steps if each.item.kind == "secret"] == [
        f"disable all versions secrets/{secret}"
    ]


async def test_whoever_protects_a_version_protects_its_secret(made: Made) -> None:
    made.secret("precious")
    estate = made.estate()
    assert not (await estate.plan(protect=("*precious/versions/1",))).steps
    assert not (await estate.plan(protect=("*precious",))).steps
    assert (await estate.plan(protect=("*elsewhere",))).steps


async def test_a_version_that_comes_in_between_stops_the_step(made: Made) -> None:
    made.secret("busy")
    estate = made.estate()
    await estate.carry_out()
    estate.now += LATER
    (step,) = (await estate.plan()).steps
    made.client.add_secret_version(request={"parent": made.name("busy"), "payload": {"data": b"new"}})
    assert await Secrets().again(step.item) != step.item
    with pytest.raises(GoogleError, match="has changed since the plan was made"):
        await Secrets().delete(step.item)


async def test_a_project_without_the_api_has_no_secrets_to_judge(cloud: LocalCloud, cloud_env: dict[str, str]) -> None:
    made = Made(Client())
    estate = made.estate()
    with faulty(
        cloud, {"method": "*SecretManagerService/*", "code": "PERMISSION_DENIED", "reason": "SERVICE_DISABLED"}
    ):
        assert ((await estate.world()).items, estate.notes) == ((), [])


async def test_an_answer_that_fails_concerns_secrets_alone(cloud: LocalCloud, made: Made) -> None:
    made.secret("hidden")
    estate = made.estate()
    with faulty(cloud, {"method": "*/ListSecretVersions", "code": "PERMISSION_DENIED"}):
        world = await estate.world()
    assert (world.items, world.required) == ((), ())
    assert not plan(world, Policy("shop", estate.now, {}, min_live=0)).refusals
    assert any("could not be listed" in note and "No secret there is judged." in note for note in estate.notes)


async def test_the_journal_says_how_a_step_is_undone(made: Made) -> None:
    secret = made.secret("undone", versions=3)
    estate = made.estate()
    words = {in_words(each): said(each) for each in (await estate.plan()).steps}
    command = f"gcloud secrets versions enable 1 --secret={secret} --project={PROJECT}"
    assert words[f"disable secrets/{secret}/versions/1"].endswith(f"; undone by: {command}")
    estate.now += LATER
    assert all("undone by" not in said(replace(each, action=DELETE)) for each in (await estate.plan()).steps)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("key", [("", "key", "")]),
        ("projects/p/secrets/key", [("p", "key", "")]),
        ("sm://projects/7/secrets/a/versions/3,projects/p/secrets/b", [("7", "a", "3"), ("p", "b", "")]),
        ("postgres://me@host/db", []),
    ],
)
def test_a_word_names_secrets_in_full_or_is_a_short_name(text: str, found: list[tuple[str, str, str]]) -> None:
    assert list(named_in(text)) == found
