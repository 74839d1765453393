"""A remedy never invents: a command is shown only when each of its words was surely read or is known."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.failures.catalogue.blanks import NOTHING, Known, fill
from tasks.failures.catalogue.grammar import GOOGLES_CLIENTS, fits
from tasks.failures.catalogue.matching import RULES
from tasks.failures.catalogue.permissions import KNOWN_ROLES
from tasks.failures.catalogue.rule import Rule
from tasks.failures.explain import explain

ENABLE = "[`gcloud services enable {api} --project {project}`|by hand]"
BIND = "[`add-iam-policy-binding {project} --member={member} --role={role}`|by hand]"
PROJECT = "[{project}|none]"

# ------------------------------------------------------------------------------------------- what was invented


@pytest.mark.parametrize(
    ("message", "never"),
    [
        pytest.param("Get https://gcr.io/v2/acme-prod/web/manifests/1: 404 Not Found", "v2", id="a version in a URL"),
        pytest.param(
            "projects/-/serviceAccounts/web@acme-prod.iam.gserviceaccount.com: 404 not found",
            "--project -",
            id="Google's word for any project",
        ),
        pytest.param(
            "Permission 'run.services.get' denied on resource 'projects/-/locations/-/services/web'. Ask the owner, "
            "boss@acme.example.",
            "boss@acme.example",
            id="an account that only happens to be named",
        ),
        pytest.param(
            "Project acme-prod: managed certificate web was not found", "undelete", id="a missing thing of a project"
        ),
        pytest.param(
            "API [run.googleapis.com] has not been used in project 764086051850 before or it is disabled.",
            "764086051850",
            id="the project of Google's own program",
        ),
        pytest.param(
            "API has not been used in project XXXXX before. See projects/acme-prod and apis/api/run.googleapis.com/",
            "acme-prod",
            id="a project that is masked where it counts and another elsewhere",
        ),
        pytest.param("Secret [prod-key] not found", "gcloud run services list", id="the list of another kind of thing"),
        pytest.param(
            "Service account service-415104041262@gs-project-accounts.iam.gserviceaccount.com does not exist.",
            "service-accounts create",
            id="an account that only Google makes",
        ),
    ],
)
def test_a_remedy_does_not_say(message: str, never: str) -> None:
    assert never not in explain(message).remedy


@pytest.mark.parametrize(
    ("message", "project"),
    [
        ("see https://console.cloud.google.com/x?project=acme-test.", "acme-test"),
        ("see https://console.cloud.google.com/x?project=acme-test..", "none"),
        ("see https://console.cloud.google.com/x?project=acme-te…", "none"),
        ("denied on 'projects/acme-test/secrets/x'", "acme-test"),
        ("denied on projects/acme-test (consumer projects/415104041262)", "acme-test"),
        ("denied on projects/acme-test, not on projects/acme-prod", "none"),
        ("denied on projects/***/secrets/x of project [acme-test]", "none"),
        ("denied on projects/my-project/secrets/x", "none"),
        ("denied on projects/PROJECT_ID/secrets/x", "none"),
        ("denied on projects/-/serviceAccounts/x", "none"),
        ("denied on projects/example.com:acme-test/secrets/x", "example.com:acme-test"),
        ("the project creation has failed", "none"),
        ("https://gcr.io/v2/acme-test/web", "none"),
        ("pushing to europe-west1-docker.pkg.dev/acme-test/web/app", "none"),
        ("x@acme-test.iam.gserviceaccount.com", "none"),
        ("not been used in project 415104041262 before ... projects/acme-test", "415104041262"),
    ],
)
def test_the_project_is_read_only_where_messages_name_it(message: str, project: str) -> None:
    assert fill(PROJECT, message) == project


def test_a_command_never_joins_parts_of_two_things() -> None:
    template = "[{repository} {repository_location} {repository_project}|none]"
    one = "projects/acme-one/locations/us/repositories/app"
    assert fill(template, f"denied on {one}") == "app us acme-one"
    assert fill(template, f"denied on {one}, {one}/packages/x") == "app us acme-one"
    assert fill(template, f"denied on {one} and projects/acme-two/locations/europe/repositories/app") == "none"


def test_who_lacks_a_permission_is_whom_the_message_says_lacks_it() -> None:
    who = "[{member}|none]"
    assert fill(who, "ann@acme.example does not have access") == "user:ann@acme.example"
    assert fill(who, "[a@b-c-d.iam.gserviceaccount.com] does not have it").startswith("serviceAccount:a@b-c-d.")
    assert fill(who, "The caller does not have access; ask ann@acme.example") == "none"
    assert fill(who, "authenticated as 7...7@cloudbuild.gserviceaccount.com") == "none"


@pytest.mark.parametrize(
    ("permission", "role"),
    [
        ("storage.objects.list", "roles/storage.objectUser"),
        ("run.services.get", "roles/run.admin"),
        ("artifactregistry.repositories.uploadArtifacts", "roles/artifactregistry.writer"),
        ("compute.instances.create", "none"),  # no role of ours surely holds it
        ("a.b.c.d", "none"),
    ],
)
def test_a_role_is_named_only_if_it_surely_holds_the_permission(permission: str, role: str) -> None:
    assert fill("[{role}|none]", f"Permission '{permission}' denied on resource") == role


def test_what_the_run_knows_fills_what_the_message_leaves_open_but_never_contradicts_it() -> None:
    known = Known(project="acme-prod", region="europe-west1", service="web", build="not-a-build-id")
    template = "[{service} {service_region} {service_project}|{service}|none]"
    assert fill(template, "it failed", known) == "web europe-west1 acme-prod"
    assert fill(template, "Service 'web' failed", known) == "web europe-west1 acme-prod"
    assert fill(template, "Service 'api' failed", known) == "api"
    assert fill("[{build}|none]", "it failed", known) == "none"
    assert fill(PROJECT, "of projects/acme-test", known) == "acme-test"
    assert fill(PROJECT, "of projects/acme-test or projects/acme-prod", known) == "acme-prod"


# -------------------------------------------------------------------------------------------- for any message

_VALUES = st.one_of(
    st.sampled_from(
        [
            "acme-prod",
            "acme-test-2",
            "415104041262",
            "europe-west1",
            "us",
            "run.googleapis.com",
            "web",
            "app-state",
            "web@acme-prod.iam.gserviceaccount.com",
            "ann@acme.example",
            "run.services.get",
            "run.admin",
        ]
    ),
    st.sampled_from(["-", "***", "PROJECT_ID", "<project>", "v2", "$PROJECT", "...", "acme-…", "{project}", "x.y.z"]),
    st.sampled_from(sorted(GOOGLES_CLIENTS)),
    st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=12),
)
_SHAPES = (
    "projects/{}/locations/{}/services/{}",
    "projects/{}/locations/{}/repositories/{}",
    "projects/{}/secrets/{}/versions/1",
    "locations/{}/namespaces/{}/services/{}",
    "{}-docker.pkg.dev/{}/{}/app:v1",
    "https://gcr.io/v2/{}/{}",
    "https://console.developers.google.com/apis/api/{}/overview?project={}",
    "Cloud Run Admin API has not been used in project {} before or it is disabled",
    "builds;region={}/0b1c2d3e-0000-4000-8000-000000000000?project={}",
    "Permission '{}' denied on service account {} (or it may not exist)",
    "Permission 'run.services.get' denied on resource 'namespaces/{}/services/{}'",
    "{} does not have storage.objects.list access",
    "This command is authenticated as {}",
    "Service account {} does not exist.",
    "Service [{}] in project [{}] region [{}]",
    "Revision '{}-00001-abc' is not ready",
    "Permission denied on secret: projects/{}/secrets/{}/versions/1 for Revision service account {}.",
    "gs://{}/default.tflock; bucket '{}' not found; ID: {}",
    "constraints/{}; lookup {} on 10.0.0.1: no such host",
    "grant it the role roles/{}",
)


@st.composite
def messages(draw: st.DrawFn) -> str:
    shapes = draw(st.lists(st.sampled_from(_SHAPES), min_size=1, max_size=4))
    filled = [re.sub(r"\{\}", lambda _: draw(_VALUES), shape) for shape in shapes]
    return draw(st.sampled_from([" ", "\n", ". ", ", "])).join(filled)


KNOWN = Known(project="known-project-1", region="europe-west9", service="known-service", account="k@known-1.iam")


@settings(max_examples=200, deadline=None)
@given(message=messages(), rule=st.sampled_from(RULES), known=st.sampled_from([NOTHING, KNOWN]))
def test_each_word_of_a_command_is_literal_or_was_read_or_is_known_and_fits_its_grammar(
    message: str, rule: Rule, known: Known
) -> None:
    for template in (rule.problem, rule.remedy):
        for slot, value in shown(template, message, known):
            assert value not in ("", "-")
            if slot == "role":
                assert value in KNOWN_ROLES or value in message
                continue
            word = value.removeprefix("serviceAccount:").removeprefix("user:") if slot == "member" else value
            assert fits("principal" if slot == "member" else slot, word)
            assert word in message or word in repr(known)


def shown(template: str, message: str, known: Known) -> list[tuple[str, str]]:
    """The blanks that are filled, each with its value."""
    marked = re.sub(r"\{(\w+)\}", r"⟦\1 {\1}⟧", template)
    return re.findall(r"⟦(\w+) ([^⟧]*)⟧", fill(marked, message, known))


# ---------------------------------------------------------------------------------------------- the templates


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.cause}: {rule.problem[:40]}")
def test_a_rule_reads_well_without_values_and_its_commands_have_no_stand_ins(rule: Rule) -> None:
    remedy, problem = fill(rule.remedy, ""), fill(rule.problem, "")
    assert re.search(r"`[^`]+`|https://", remedy)
    assert re.fullmatch(r"[A-Z].*[.)]", remedy)
    assert re.fullmatch(r"[A-Za-z].*[.)]", problem)
    assert not re.search(r"[{}\[\]|]|  | [,;]| \.(?![\w`])", remedy + problem)
    assert rule.link.startswith("https://")
    outside = re.sub(r"\[[^\[\]]*\]", "", rule.remedy + rule.problem)
    assert "{" not in outside, "a blank that may be missing stands in brackets"
    for command in re.findall(r"`((?:gcloud|terraform|docker|prefect|git|getent) [^`]*)`", rule.remedy):
        assert not re.search(r"(?<![{\w>=])[A-Z][A-Z_]+\b", command), "a command names no stand-in"
