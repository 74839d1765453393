"""Who may call a service, as slipway.yaml names them."""

from __future__ import annotations

import pytest

from tasks.failures.errors import ManifestError
from tasks.manifest.loading import parse_manifest
from tasks.manifest.members import in_full, in_short, is_member
from tasks.manifest.settings import ServiceSettings

POOL = "iam.googleapis.com/projects/12/locations/global/workloadIdentityPools/ci"


def invokers(said: str, there: str = "") -> tuple[str, ...]:
    """there: what staging says of the service."""
    text = f"""
app: shop
services: {{web: {{invokers: {said}}}}}
environments: {{staging: {{project: acme-staging, regions: [europe-west1], services: {{web: {{{there}}}}}}}}}
"""
    return parse_manifest(text).service_in("staging", "web").invokers


@pytest.mark.parametrize(
    "member",
    [
        "user:ada@acme.com",
        "group:all+ops@acme.co.uk",
        "serviceAccount:web@acme-prod.iam.gserviceaccount.com",
        "serviceAccount:service-12@gcp-sa-iap.iam.gserviceaccount.com",
        "serviceAccount:12-compute@developer.gserviceaccount.com",
        "serviceAccount:acme-prod.svc.id.goog[shop/web]",
        "domain:acme.com",
        "allAuthenticatedUsers",
        f"principal://{POOL}/subject/repo:acme/shop:ref",
        f"principalSet://{POOL}/*",
        "principalSet://cloudresourcemanager.googleapis.com/projects/12",
    ],
)
def test_whom_googles_policies_name_may_be_let_in(member: str) -> None:
    assert invokers(f"['{member}']") == (member,)


@pytest.mark.parametrize(
    ("member", "said"),
    [
        ("allUsers", "must not be allUsers: everybody is let in by `public: true`"),
        ("deleted:user:ada@acme.com?uid=1", "must be somebody who is there"),
        ("ada@acme.com", "must be whom Google's policies name: user:, serviceAccount:"),
        ("user:ada", "must be whom Google's policies name"),
        ("users:ada@acme.com", "must be whom Google's policies name"),
        ("projectEditor:acme-prod", "must be whom Google's policies name"),
        ("serviceAccount:web@acme", "must be whom Google's policies name"),
        ("domain:https://acme.com", "must be whom Google's policies name"),
        ("principal:ada@acme.com", "must be whom Google's policies name"),
        ("user:ada@acme.com\n", "must be whom Google's policies name"),
    ],
)
def test_whom_no_policy_names_is_refused_with_what_may_stand_there(member: str, said: str) -> None:
    assert not is_member(member)
    with pytest.raises(ManifestError, match=r"services\.web\.invokers") as refused:
        invokers(f"[{member!r}]" if "\n" not in member else '["user:ada@acme.com\\n"]')
    assert said in refused.value.problem


def test_nobody_is_named_twice_whichever_letters_are_used() -> None:
    with pytest.raises(ManifestError, match=r"has user:ada@acme\.com twice"):
        invokers("['user:ada@acme.com', 'user:Ada@Acme.com']")


def test_letters_are_compared_as_google_does_and_those_of_other_identities_are_kept() -> None:
    assert invokers("['group:Ops@Acme.com', 'domain:ACME.com']") == ("group:ops@acme.com", "domain:acme.com")
    assert invokers(f"['principal://{POOL}/subject/Ada']") == (f"principal://{POOL}/subject/Ada",)
    assert invokers("['serviceAccount:acme-prod.svc.id.goog[shop/web]']")[0].endswith("[shop/web]")


def test_an_account_of_the_environments_project_goes_by_its_first_part() -> None:
    assert invokers("['serviceAccount:frontend']") == ("serviceAccount:frontend@acme-staging.iam.gserviceaccount.com",)
    (full,) = in_full(["serviceAccount:frontend"], "acme-prod")
    assert in_short(full, "acme-prod") == "serviceAccount:frontend"
    assert in_short(full, "acme-staging") == full
    assert in_short("user:ada@acme.com", "acme-prod") == "user:ada@acme.com"
    assert in_short("serviceAccount:ab@acme-prod.iam.gserviceaccount.com", "acme-prod").endswith("gserviceaccount.com")


def test_an_environment_has_its_own_or_the_services() -> None:
    assert invokers("['user:ada@acme.com']", "invokers: ['user:bob@acme.com']") == ("user:bob@acme.com",)
    assert invokers("['user:ada@acme.com']", "invokers: []") == ()
    assert ServiceSettings.model_fields["invokers"].default == ()
