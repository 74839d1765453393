"""Real messages get the right cause, whether a retry may help, and a remedy that a person can act on."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.gcp.calls.errors import GoogleError
from tasks.failures.catalogue.blanks import Known
from tasks.failures.cause import Cause, Transient
from tasks.failures.errors import SlipwayError
from tasks.failures.explain import Explanation, explain, to_slipway

# Messages from public issue trackers and documents, shortened, names changed, and some put together after them;
# `accept` are other fair causes.
FILE = Path(__file__).parents[2] / "data/messages.jsonl"
MESSAGES = [json.loads(line) for line in FILE.read_text().splitlines()]
TRANSIENT = {True: Transient.YES, False: Transient.NO, "maybe": Transient.MAYBE}


@pytest.fixture(scope="module")
def answers() -> dict[str, Explanation]:
    """What is said of each message, by its id. They are more than a thousand: a test is about all of them."""
    return {row["id"]: explain(row["text"]) for row in MESSAGES}


def test_every_real_message_gets_its_cause(answers: dict[str, Explanation]) -> None:
    said = {row["id"]: (answers[row["id"]], {row["cause"], *row["accept"]}) for row in MESSAGES}
    wrong = {each: (answer.cause, answer.evidence) for each, (answer, fair) in said.items() if answer.cause not in fair}
    assert wrong == {}


def test_no_real_message_is_called_transient_when_it_is_permanent_or_the_reverse(
    answers: dict[str, Explanation],
) -> None:
    said = {row["id"]: {answers[row["id"]].transient, TRANSIENT[row["transient"]]} for row in MESSAGES}
    assert {each: both for each, both in said.items() if len(both) > 1 and Transient.MAYBE not in both} == {}


def test_maybe_is_said_seldom(answers: dict[str, Explanation]) -> None:
    """It is the answer for failures that do not tell; were it the answer to everything, it would help nobody."""
    said = [answer.transient for answer in answers.values()]
    assert said.count(Transient.MAYBE) < len(said) / 8


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        pytest.param(
            "ERROR: build step 0 failed: step exited with non-zero status: 1\n"
            "denied: Permission 'artifactregistry.repositories.uploadArtifacts' denied on resource",
            Cause.PERMISSION,
            id="a denied push inside a failed build",
        ),
        pytest.param(
            "Error acquiring the state lock: googleapi: Error 403: x@y.iam.gserviceaccount.com does not have "
            "storage.objects.create access",
            Cause.PERMISSION,
            id="a missing permission behind a state lock",
        ),
        pytest.param(
            "PERMISSION_DENIED: Cloud Run Admin API has not been used in project 1 before or it is disabled.",
            Cause.API_DISABLED,
            id="a disabled API behind PERMISSION_DENIED",
        ),
        pytest.param(
            "Error 403: This API method requires billing to be enabled.", Cause.BILLING, id="billing behind 403"
        ),
        pytest.param(
            "UNAVAILABLE: Getting metadata from plugin failed: [SSL: CERTIFICATE_VERIFY_FAILED]",
            Cause.NETWORK,
            id="a certificate behind UNAVAILABLE",
        ),
        pytest.param(
            "npm ERR! code ECONNRESET\nThe command '/bin/sh -c npm ci' returned a non-zero code: 1",
            Cause.NETWORK,
            id="a broken connection inside a Dockerfile command",
        ),
        pytest.param(
            "Revision 'a-00001-abc' is not ready: failed to start and listen on the port\n"
            "ModuleNotFoundError: No module named 'flask'",
            Cause.CONTAINER_CRASH,
            id="a crash behind the port message",
        ),
    ],
)
def test_the_innermost_cause_wins_over_its_wrapper(text: str, cause: Cause) -> None:
    assert explain(text).cause is cause


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        pytest.param(
            "terraform show: Error: Failed to load plugin schemas\nCould not load the schema for provider "
            "hashicorp/google-beta: failed to instantiate provider\nThis usually means\n"
            "  the plugin was not compiled for this architecture",
            Cause.INVALID_CONFIG,
            id="a provider that cannot be started, which sounds like a failed build",
        ),
        pytest.param(
            'ERROR: (gcloud.artifacts.repositories.create) INVALID_ARGUMENT: Maven config is not for format "DOCKER"',
            Cause.INVALID_CONFIG,
            id="a wrong request that sounds like a failed build",
        ),
        pytest.param(
            "googleapi: Error 409: the service api was not found in the cache and is unavailable",
            Cause.CONFLICT,
            id="a conflict that sounds like a missing thing",
        ),
        pytest.param(
            'status = StatusCode.RESOURCE_EXHAUSTED details = "connection refused: over the rate"',
            Cause.RATE_LIMIT,
            id="an exhausted limit that sounds like a network fault",
        ),
        pytest.param(
            "googleapi: Error 500: rpc error: code = PermissionDenied desc = connection reset",
            Cause.NETWORK,
            id="an internal error, which wraps anything",
        ),
    ],
)
def test_the_status_that_a_message_states_narrows_what_its_words_mean(text: str, cause: Cause) -> None:
    assert explain(text).cause is cause


@pytest.mark.parametrize(
    "text",
    [
        "Service [api] revision [api-00007-abc] has been deployed and is serving 100 percent of traffic.",
        "Apply complete! Resources: 3 added, 0 changed, 0 destroyed.",
        "Build finished with 0 errors.\nDONE\nID  STATUS\n1   SUCCESS",
        "MongoStorageAdapter: Connection closed\nContainer called exit(0).",
    ],
)
def test_a_log_of_something_that_went_well_is_not_taken_for_a_failure(text: str) -> None:
    said = explain(text)
    assert (said.cause, said.transient) == (Cause.OTHER, Transient.NO)
    assert "went well" in said.problem


@pytest.mark.parametrize("failure", ["PERMISSION_DENIED: no access", "ModuleNotFoundError: No module named 'x'"])
@pytest.mark.parametrize("at_the_end", [True, False], ids=["last", "first"])
def test_a_trace_of_thousands_of_lines_is_explained_by_the_line_that_names_the_failure(
    failure: str, at_the_end: bool
) -> None:
    frames = "\n".join(f'  File "/app/module_{number}.py", line {number}, in call' for number in range(5000))
    text = f"{frames}\n{failure}" if at_the_end else f"{failure}\n{frames}"
    said = explain(text)
    assert said.cause is explain(failure).cause
    assert said.evidence == failure


def test_bytes_that_are_no_text_are_shown_without_control_characters_and_cut() -> None:
    said = explain("".join(chr(number % 256) for number in range(100_000)).replace("\n", ""))
    assert said.problem.isprintable()
    assert len(said.problem) <= 300


def test_a_message_wrapped_by_a_terminal_or_framed_by_terraform_is_read_all_the_same() -> None:
    wrapped = "│ Cloud Run Admin API has not been used in\n│ project 42 before or it is disa\x1b[31mbled"
    assert explain(wrapped).cause is Cause.API_DISABLED


def test_names_in_terraform_resource_addresses_say_nothing_about_the_cause() -> None:
    text = 'Error 404: Requested entity was not found.\n\n  with google_org_policy_policy.quota_exceeded["x"],'
    assert explain(text).cause is Cause.NOT_FOUND


def test_an_unknown_message_is_shown_as_it_is_and_not_retried() -> None:
    said = explain("\n  Something nobody has seen before.\n")
    assert (said.cause, said.transient) == (Cause.OTHER, Transient.NO)
    assert said.problem == "Something nobody has seen before."


# ---------------------------------------------------------------------------------------------- remedies


def test_the_remedy_names_project_service_and_api_of_the_message() -> None:
    said = explain("run.googleapis.com has not been used in project acme-prod-1 before or it is disabled.")
    assert "`gcloud services enable run.googleapis.com --project acme-prod-1`" in said.remedy


def test_the_remedy_for_a_missing_permission_names_who_what_where_and_the_smallest_role() -> None:
    said = explain(
        "bob@acme.iam.gserviceaccount.com does not have storage.objects.list access to projects/acme-state/buckets/b."
    )
    assert "bob@acme.iam.gserviceaccount.com" in said.problem
    assert "gcloud projects add-iam-policy-binding acme-state " in said.remedy
    assert "--member=serviceAccount:bob@acme.iam.gserviceaccount.com --role=roles/storage.objectUser" in said.remedy


def test_what_the_run_knows_completes_the_command() -> None:
    known = Known(project="acme-prod", region="europe-west1", service="shop-web")
    said = explain("Revision 'shop-web-00007-abc' is not ready: ModuleNotFoundError: No module named 'x'", known)
    assert "gcloud run services logs read shop-web --region europe-west1 --project acme-prod" in said.remedy


# ---------------------------------------------------------------------------------------------- secrets, speed


def google(status: str, message: str) -> GoogleError:
    return GoogleError("run.Services.GetService", status, message)


@given(
    status=st.sampled_from(["PERMISSION_DENIED", "INTERNAL", "FAILED_PRECONDITION"]),
    secret=st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=24, max_size=40),
)
def test_no_explanation_shows_a_token(status: str, secret: str) -> None:
    message = f"call with Authorization: Bearer ya29.{secret} to https://u:{secret}@x/y?X-Goog-Signature={secret} died"
    for error in (message, google(status, message), RuntimeError(message), SlipwayError(message, message)):
        assert secret not in repr(explain(error))
    assert secret not in str(to_slipway(google(status, message), f"Trying token={secret}"))


@settings(max_examples=200)
@given(st.text(max_size=400))
def test_any_text_gets_an_explanation(text: str) -> None:
    said = explain(text)
    assert said.problem
    assert said.remedy


@pytest.mark.parametrize("piece", ["a", "a.", "a-", "QUJD", '{"a":', "a@b.c ", "https://x/?token=1&", " ", "\n", "é"])
def test_a_long_message_takes_no_longer_than_a_moment(piece: str) -> None:
    """Guards against patterns that go back and forth: those would need minutes, not a second or two."""
    began = time.process_time()
    explain(f"UNAVAILABLE: dial tcp\n{piece * (60_000 // len(piece))}")
    assert time.process_time() - began < 5


def test_a_thousand_messages_are_explained_in_a_second_or_two() -> None:
    texts = [row["text"] for row in MESSAGES]
    began = time.process_time()
    for number in range(1000):
        explain(texts[number % len(texts)])
    assert time.process_time() - began < 5


PORT_MESSAGE = (
    "Revision 'shop-api-1' is not ready and cannot serve traffic. The user-provided container failed to start and "
    "listen on the port defined provided by the PORT=8080 environment variable within the allocated timeout."
)


@pytest.mark.parametrize(
    ("log", "advice"),
    [
        ('exec: "gunicorn": executable file not found in $PATH', "ENTRYPOINT, CMD"),
        ("sh: 1: gunicorn: not found", "Install it in the Dockerfile"),
        ("Failed to find attribute 'app' in 'main'.", "gunicorn main:app"),
        ('ERROR: Error loading ASGI app. Could not import module "main".', "gunicorn main:app"),
        ("AttributeError: module 'settings' has no attribute 'PORT'", "correct the code"),
        ("Listening on 127.0.0.1:3000", "listen on 0.0.0.0"),
        ("", "listen on 0.0.0.0"),
    ],
)
def test_the_advice_about_the_port_is_given_only_where_the_log_tells_nothing_better(log: str, advice: str) -> None:
    said = explain(GoogleError("run.services.update", "FAILED_PRECONDITION", PORT_MESSAGE), log=log)
    assert advice in said.remedy
    assert ("0.0.0.0" in said.remedy) is (advice == "listen on 0.0.0.0")


@pytest.mark.parametrize(
    ("text", "advice", "never"),
    [
        (
            "failed to generate Google Cloud access token for ***: (403) Permission "
            "'iam.serviceAccounts.getAccessToken' denied on resource.",  # google-github-actions/auth#340
            "roles/iam.workloadIdentityUser",
            "auth application-default login",
        ),
        (
            "Error: 3 INVALID_ARGUMENT: Violation in CreateServiceRequest.service.template.vpc_access.connector: one "
            "and only one of connector and network_interfaces must be set.",  # googleapis/google-cloud-node#4731
            "slipway.yaml",
            "terraform",
        ),
        (
            "Error 400: template.template.containers[0].limits.memory: Invalid value specified for memory.",
            "slipway.yaml",
            "terraform",
        ),
        (
            "RefreshError: HTTPConnectionPool(host='metadata.google.internal', port=80): Max retries exceeded with "
            "url: /computeMetadata/v1/instance/service-accounts/default/?recursive=true (Caused by NewConnectionError("
            "'<urllib3.connection.HTTPConnection object at 0x6967F28>: Failed to establish a new connection: "
            "[Errno 11001] getaddrinfo failed',))",  # googleapis/google-cloud-python#5419
            "gcloud auth application-default login",
            "getent",
        ),
        (
            "Invalid IAP credentials: JWT audience doesn't match this application ('aud' claim (https://x.run.app) "
            "doesn't match expected value (1234-abc.apps.googleusercontent.com))",
            "health.audience",
            "auth application-default login",
        ),
        (
            'failed to generate Google Cloud federated token for ***: {"error":"unauthorized_client",'
            '"error_description":"The given credential is rejected by the attribute condition."}',
            "Compare the condition",
            "auth application-default login",
        ),
        (
            "Container image 'europe-west1-docker.pkg.dev/acme-prod/shop/api@sha256:aa' is not authorized by policy. "
            "Image denied by attestor projects/acme-sec/attestors/qa: No attestations found",  # that is whose key it is
            "https://console.cloud.google.com/security/binary-authorization",
            "--project acme-sec",
        ),
        (
            "googleapi: Error 403: boss::NOT_AUTHORIZED: Not authorized to access resource. Possibly missing "
            "permission cloudsql.instances.connect on resource instances/orders., forbidden",
            "roles/cloudsql.client",
            "roles/cloudsql.admin",
        ),
        (
            "VPC direct connection: Subnet projects/acme-net/regions/europe-west1/subnetworks/run doesn't have enough "
            "available IP addresses; Cloud Run requires 4 unallocated.",
            "raise the quota",
            "not in the catalogue",
        ),
    ],
)
def test_the_advice_is_for_what_refused_and_not_for_what_passed_it_on(text: str, advice: str, never: str) -> None:
    said = explain(text)
    assert advice in said.remedy
    assert never not in said.remedy.lower()
