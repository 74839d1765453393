"""The resources of the stand-in provider against the local cloud: made, read, changed, adopted, deleted."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.conftest import TERRAFORM_PROJECT as PROJECT
from tests.conftest import LocalCloud, environment
from tests.infra.emulator.terraform.asked import OPENAPI, Asked, Refused

REGION = "europe-west1"
LABELS = {"app": "shop", "managed-by": "slipway"}
DOCUMENTS = [{"document": [{"path": "openapi.yaml", "contents": base64.b64encode(OPENAPI.encode()).decode()}]}]
AUTO: list[dict[str, Any]] = [{"auto": [{"customer_managed_encryption": []}], "user_managed": []}]
EMAIL = f"tf-gateway@{PROJECT}.iam.gserviceaccount.com"
API = f"projects/{PROJECT}/locations/global/apis/tf"
# Of each kind that is adopted: how it is configured, and the ids that it can be adopted by. Each needs those before it.
KINDS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "google_project_service": ({"service": "apigateway.googleapis.com"}, [f"{PROJECT}/apigateway.googleapis.com"]),
    "google_service_account": (
        {"account_id": "tf-gateway", "display_name": "Gateway", "description": "calls"},
        [f"projects/{PROJECT}/serviceAccounts/{EMAIL}"],
    ),
    "google_project_iam_member": (
        {"project": PROJECT, "role": "roles/run.invoker", "member": f"serviceAccount:{EMAIL}"},
        [f"{PROJECT} roles/run.invoker serviceAccount:{EMAIL}"],
    ),
    "google_storage_bucket": (
        {
            "name": f"{PROJECT}-tf-data", "location": "europe-west1", "labels": LABELS,
            "uniform_bucket_level_access": True, "public_access_prevention": "enforced",
            "versioning": [{"enabled": True}],
        },
        [f"{PROJECT}/{PROJECT}-tf-data", f"{PROJECT}-tf-data"],
    ),
    "google_secret_manager_secret": (
        {"secret_id": "tf-token", "labels": LABELS, "replication": AUTO},
        [f"projects/{PROJECT}/secrets/tf-token", f"{PROJECT}/tf-token", "tf-token"],
    ),
    "google_api_gateway_api": ({"api_id": "tf", "labels": LABELS}, [API, f"{PROJECT}/tf", "tf"]),
    "google_api_gateway_api_config": (
        {"api": "tf", "api_config_id": "tf-1", "labels": LABELS, "openapi_documents": DOCUMENTS},
        [f"{API}/configs/tf-1", f"{PROJECT}/tf/tf-1", "tf/tf-1"],
    ),
    "google_api_gateway_gateway": (
        {"gateway_id": "tf", "api_config": f"{API}/configs/tf-1", "labels": LABELS},
        [f"projects/{PROJECT}/locations/{REGION}/gateways/tf", f"{REGION}/tf", "tf"],
    ),
    "google_apikeys_key": (
        {"name": "tf-key", "display_name": "clients", "restrictions": [{
            "android_key_restrictions": [], "browser_key_restrictions": [], "ios_key_restrictions": [],
            "server_key_restrictions": [], "api_targets": [{"service": "run.googleapis.com", "methods": []}],
        }]},
        [f"projects/{PROJECT}/locations/global/keys/tf-key", f"{PROJECT}/tf-key", "tf-key"],
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def asked(cloud: LocalCloud) -> Iterator[Asked]:
    """One provider for all, as Terraform has one: it logs in once."""
    with environment(cloud.env):
        yield Asked({"project": PROJECT, "region": REGION})


@pytest.fixture(scope="module")
def made(asked: Asked) -> dict[str, dict[str, Any]]:
    """Every kind once, in the project of the tests."""
    for service in ("apikeys.googleapis.com", "servicemanagement.googleapis.com", "servicecontrol.googleapis.com"):
        asked.create("google_project_service", service=service)
    return {kind: asked.create(kind, **config) for kind, (config, _) in KINDS.items()}


@pytest.fixture
def faults(cloud: LocalCloud) -> Iterator[LocalCloud]:
    yield cloud
    cloud.put("/faults", [])


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_made_is_read_back_and_needs_no_change(kind: str, made: dict[str, Any], asked: Asked) -> None:
    assert asked.read(kind, made[kind]) == made[kind]
    assert asked.changes(kind, made[kind], KINDS[kind][0]) == {}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, (_, names) in KINDS.items() for name in names])
def test_what_exists_is_adopted_by_its_id_and_not_made_anew(
    kind: str, name: str, made: dict[str, Any], asked: Asked
) -> None:
    """At most its own labels are yet to be taken for its own."""
    adopted = asked.adopt(kind, name)
    assert adopted is not None
    assert adopted["id"] == made[kind]["id"]
    assert asked.changes(kind, adopted, KINDS[kind][0]).keys() <= {"labels", "terraform_labels"}
    settled = asked.apply(kind, adopted, KINDS[kind][0])
    assert asked.changes(kind, settled or {}, KINDS[kind][0]) == {}


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("google_service_account", "Error creating service account: googleapi: Error 409: "),
        ("google_storage_bucket", "googleapi: Error 409: "),
        ("google_secret_manager_secret", "Error creating Secret: googleapi: Error 409: "),
        ("google_api_gateway_api", "Error creating Api: googleapi: Error 409: "),
        ("google_api_gateway_api_config", "Error creating ApiConfig: googleapi: Error 409: "),
        ("google_api_gateway_gateway", "Error creating Gateway: googleapi: Error 409: "),
        ("google_apikeys_key", "Resource already exists - apply blocked by lifecycle params"),
    ],
)
def test_what_exists_is_not_made_again(kind: str, words: str, made: dict[str, Any], asked: Asked) -> None:
    with pytest.raises(Refused) as refused:
        asked.create(kind, **KINDS[kind][0])
    assert words in str(refused.value)


@pytest.mark.parametrize("kind", ["google_project_service", "google_project_iam_member"])
def test_a_service_that_is_on_and_a_member_that_has_the_role_are_no_error(
    kind: str, made: dict[str, Any], asked: Asked
) -> None:
    assert asked.create(kind, **KINDS[kind][0])["id"] == made[kind]["id"]


def test_what_is_not_there_cannot_be_adopted(asked: Asked) -> None:
    assert asked.adopt("google_secret_manager_secret", "no-such-secret") is None
    with pytest.raises(Refused, match="doesn't match any of the accepted formats"):
        asked.adopt("google_secret_manager_secret", "a/b/c/d")


def test_a_location_in_other_letters_is_no_other_bucket(made: dict[str, Any], asked: Asked) -> None:
    config = KINDS["google_storage_bucket"][0]
    assert (
        asked.changes("google_storage_bucket", made["google_storage_bucket"], {**config, "location": "EUROPE-west1"})
        == {}
    )
    moved = asked.changes("google_storage_bucket", made["google_storage_bucket"], {**config, "location": "EU"})
    assert moved["replaced"] == ["location"]


def test_a_changed_document_makes_another_config(made: dict[str, Any], asked: Asked) -> None:
    kind = "google_api_gateway_api_config"
    other = [{"document": [{"path": "openapi.yaml", "contents": "c3dhZ2dlcg=="}]}]
    changes = asked.changes(kind, made[kind], {**KINDS[kind][0], "openapi_documents": other})
    assert changes["replaced"] == ["openapi_documents.0.document.0.contents"]


def test_labels_of_others_stay_and_its_own_are_set_right(asked: Asked) -> None:
    kind, config = "google_secret_manager_secret", {"secret_id": "tf-labels", "labels": LABELS, "replication": AUTO}
    state = asked.create(kind, **config)
    assert state["effective_labels"] == {**LABELS, "goog-terraform-provisioned": "true"}
    url = f"https://secretmanager.googleapis.com/v1/{state['id']}"
    labels = {"app": "other", "team": "web", "goog-terraform-provisioned": "true"}
    asked.cloud.call("PATCH", url, {"labels": labels}, {"updateMask": "labels"})
    drifted = asked.read(kind, state)
    assert drifted is not None
    assert drifted["labels"] == {"app": "other"}
    settled = asked.apply(kind, drifted, config)
    assert settled is not None
    assert settled["labels"] == LABELS
    assert settled["effective_labels"] == {**LABELS, "team": "web", "goog-terraform-provisioned": "true"}


def test_a_providers_labels_are_on_everything(asked: Asked) -> None:
    other = Asked({"project": PROJECT, "default_labels": {"cost": "web"}, "add_terraform_attribution_label": False})
    state = other.create("google_secret_manager_secret", secret_id="tf-default-labels", replication=AUTO)
    assert state["effective_labels"] == state["terraform_labels"] == {"cost": "web"}
    assert not state["labels"]


def test_what_is_written_only_is_in_no_plan_and_no_state(made: dict[str, Any], asked: Asked) -> None:
    kind, secret = "google_secret_manager_secret_version", made["google_secret_manager_secret"]["id"]
    config = {"secret": secret, "secret_data_wo": "hunter2", "secret_data_wo_version": "1"}
    planned, _ = asked.plan(kind, None, config)
    state = asked.create(kind, **config)
    assert "hunter2" not in json.dumps([state, repr(planned)])
    access = asked.cloud.call("GET", f"https://secretmanager.googleapis.com/v1/{state['name']}:access")
    assert base64.b64decode(access["payload"]["data"]) == b"hunter2"
    assert asked.changes(kind, state, {**config, "secret_data_wo": "other"}) == {}
    assert asked.changes(kind, state, {**config, "secret_data_wo_version": "2"})["replaced"] == [
        "secret_data_wo_version"
    ]
    assert asked.apply(kind, state, None) is None
    assert asked.read(kind, state) is None, "a version that was destroyed is no more"


def test_a_config_that_is_not_whole_is_refused(asked: Asked) -> None:
    with pytest.raises(Refused, match="all of `secret_data_wo,secret_data_wo_version`"):
        asked.validate("google_secret_manager_secret_version", {"secret": "s", "secret_data_wo": "x"})
    both = [{"auto": [{}], "user_managed": [{"replicas": [{"location": REGION}]}]}]
    with pytest.raises(Refused, match=r"only one of `replication.0.auto,replication.0.user_managed`"):
        asked.validate("google_secret_manager_secret", {"secret_id": "s", "replication": both})


def test_many_members_of_one_policy_are_all_there(asked: Asked) -> None:
    """Two providers read, change and write back at the same time: a stale etag is tried again."""
    kind, other = "google_secret_manager_secret_iam_member", Asked({"project": PROJECT})
    secret = asked.create("google_secret_manager_secret", secret_id="tf-members", replication=AUTO)["id"]
    names = [f"tf-member-{number}" for number in range(4)]
    members = [f"serviceAccount:{name}@{PROJECT}.iam.gserviceaccount.com" for name in names]
    for name in names:
        asked.create("google_service_account", account_id=name, display_name="")

    def add(number: int) -> dict[str, Any]:
        who = (asked, other)[number % 2]
        return who.create(kind, secret_id=secret, role="roles/secretmanager.secretAccessor", member=members[number])

    with ThreadPoolExecutor(4) as pool:
        states = list(pool.map(add, range(4)))
    assert all(asked.read(kind, state) for state in states)
    asked.apply(kind, states[0], None)
    assert [asked.read(kind, state) is not None for state in states] == [False, True, True, True]


def test_a_bucket_with_something_in_it_is_not_deleted_unless_forced(asked: Asked) -> None:
    name = f"{PROJECT}-tf-full"
    state = asked.create("google_storage_bucket", name=name, location="EU")
    upload = f"https://storage.googleapis.com/upload/storage/v1/b/{name}/o"
    asked.cloud.call("POST", upload, {"a": 1}, {"uploadType": "media", "name": "a/b.json"})
    with pytest.raises(Refused, match="without `force_destroy` set to true"):
        asked.apply("google_storage_bucket", state, None)
    forced = asked.apply("google_storage_bucket", state, {"name": name, "location": "EU", "force_destroy": True})
    assert forced is not None
    assert asked.apply("google_storage_bucket", forced, None) is None
    assert asked.read("google_storage_bucket", forced) is None


def test_a_deleted_key_keeps_its_name_and_is_not_read_as_there(asked: Asked) -> None:
    config = {"name": "tf-gone", "display_name": "gone"}
    state = asked.create("google_apikeys_key", **config)
    assert state["key_string"]
    asked.apply("google_apikeys_key", state, None)
    assert asked.read("google_apikeys_key", state) is None
    with pytest.raises(Refused, match="Error creating Key: googleapi: Error 409"):
        asked.create("google_apikeys_key", **config)


def test_what_must_stay_is_not_deleted_and_what_is_abandoned_is_only_forgotten(asked: Asked) -> None:
    kind, config = "google_secret_manager_secret", {"secret_id": "tf-stays", "replication": AUTO}
    state = asked.create(kind, **config, deletion_policy="PREVENT")
    with pytest.raises(Refused, match="deletion_policy"):
        asked.apply(kind, state, None)
    abandoned = asked.apply(kind, state, {**config, "deletion_policy": "ABANDON"})
    assert abandoned is not None
    assert asked.apply(kind, abandoned, None) is None
    assert asked.read(kind, abandoned) is not None


def test_a_cloud_that_is_away_for_a_moment_is_asked_again(asked: Asked, faults: LocalCloud) -> None:
    faults.put("/faults", [{"method": "*SecretManagerService/CreateSecret", "code": "UNAVAILABLE", "times": 2}])
    assert asked.create("google_secret_manager_secret", secret_id="tf-patient", replication=AUTO)["id"]


def test_a_gateway_without_a_region_is_refused(asked: Asked) -> None:
    config = {"gateway_id": "tf-nowhere", "api_config": f"{API}/configs/tf-1"}
    with pytest.raises(Refused, match="region: required field is not set"):
        Asked({"project": PROJECT}).create("google_api_gateway_gateway", **config)


def test_what_was_refused_is_said_in_the_clouds_own_words(asked: Asked, faults: LocalCloud) -> None:
    fault = {"method": "*CreateSecret", "code": "PERMISSION_DENIED", "message": "no", "reason": "IAM_PERMISSION_DENIED"}
    faults.put("/faults", [fault])
    with pytest.raises(Refused) as refused:
        asked.create("google_secret_manager_secret", secret_id="tf-refused", replication=AUTO)
    said = str(refused.value)
    assert said.startswith("Error creating Secret: googleapi: Error 403: no\nDetails:\n[")
    assert '"reason": "IAM_PERMISSION_DENIED"' in said


def test_an_operation_that_takes_too_long_leaves_nothing_in_the_state_and_the_resource_in_the_cloud(
    asked: Asked, faults: LocalCloud, made: dict[str, Any]
) -> None:
    """As with the real provider: the next apply is refused for ever, unless somebody adopts it."""
    faults.put("/latency", {"stages": {"apigateway.api": 3.0}})
    try:
        with pytest.raises(Refused, match=r"Error waiting to create Api: timeout while waiting .* \(timeout: 0.5s\)"):
            asked.create("google_api_gateway_api", api_id="tf-slow", timeouts={"create": "500ms"})
    finally:
        faults.put("/latency", {"profile": "instant"})
    with pytest.raises(Refused, match="Error creating Api: googleapi: Error 409"):
        asked.create("google_api_gateway_api", api_id="tf-slow")
    assert asked.adopt("google_api_gateway_api", "tf-slow")


def test_what_cannot_be_read_is_said_and_kept_in_the_state(
    asked: Asked, faults: LocalCloud, made: dict[str, Any]
) -> None:
    """To take it for gone would make it anew."""
    faults.put("/faults", [{"method": "*/GetSecret", "code": "PERMISSION_DENIED", "message": "no"}])
    state = made["google_secret_manager_secret"]
    with pytest.raises(Refused) as refused:
        asked.read("google_secret_manager_secret", state)
    name = f"projects/{PROJECT}/secrets/tf-token"
    assert str(refused.value) == f'Error when reading or editing SecretManagerSecret "{name}": googleapi: Error 403: no'


def test_what_was_made_and_cannot_be_read_is_kept_in_the_state(asked: Asked, faults: LocalCloud) -> None:
    """Terraform says then that it is tainted."""
    kind, config = "google_secret_manager_secret", {"secret_id": "tf-unread", "replication": AUTO}
    faults.put("/faults", [{"method": "*/GetSecret", "code": "PERMISSION_DENIED", "message": "no"}])
    with pytest.raises(Refused, match="googleapi: Error 403: no") as refused:
        asked.create(kind, **config)
    faults.put("/faults", [])
    assert refused.value.state is not None
    assert asked.changes(kind, asked.read(kind, refused.value.state) or {}, config) == {}


@pytest.mark.parametrize(("when", "ends"), [("before", ""), ("after", "Error creating Secret: googleapi: Error 409")])
def test_a_line_that_breaks_is_tried_again_whatever_the_call_has_done(
    when: str, ends: str, asked: Asked, faults: LocalCloud
) -> None:
    """As the real provider does, which is then told that there is one already."""
    faults.put("/faults", [{"method": "*/CreateSecret", "drop": when, "times": 1}])
    config = {"secret_id": f"tf-cut-{when}", "replication": AUTO}
    if ends:
        with pytest.raises(Refused, match=ends):
            asked.create("google_secret_manager_secret", **config)
    else:
        asked.create("google_secret_manager_secret", **config)
    assert asked.adopt("google_secret_manager_secret", f"tf-cut-{when}")


def test_a_cloud_that_cannot_be_reached_is_not_waited_for(asked: Asked, cloud: LocalCloud) -> None:
    with environment({"HTTPS_PROXY": "http://127.0.0.1:1", "https_proxy": "http://127.0.0.1:1"}):
        other = Asked({"project": PROJECT})
        with pytest.raises(Refused, match="Unable to connect to proxy"):
            other.create("google_secret_manager_secret", secret_id="tf-far", replication=AUTO)
