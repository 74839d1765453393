"""Every output is what is live, with who knew it; what is missing is told with the reason and the command."""

from __future__ import annotations

from infra.terraform.plan import Resource
from tasks.provision.look import Live
from tasks.provision.outputs import Known, settle
from tasks.provision.wanted import generation_in
from tests.tasks.builders import NOW
from tests.tasks.provision.wanted_of import wanted_of

WANTED = wanted_of("gateway: {openapi: a.yaml, api_key: true, service_account: shop-gateway}")
URL = "https://shop-production-1a2b3c.ew.gateway.dev"
VERSION = "projects/acme-prod/secrets/shop-production-api-key/versions/2"
LIVE = Live(
    URL, "shop-1.apigateway.acme-prod.cloud.goog", VERSION, services={"web in europe-west1": "https://web.run.app"}
)
STATE = {
    "google_api_gateway_gateway.gateway[0]": Resource(
        "google_api_gateway_gateway.gateway[0]", "google_api_gateway_gateway", {"default_hostname": URL[8:]}
    )
}


def test_what_terraform_says_and_is_live_is_from_terraform_and_what_only_the_state_knows_from_there() -> None:
    known = Known({"key_secret": VERSION.replace("acme-prod", "123456")}, STATE)
    found = {each.name: each for each in settle(WANTED, known, LIVE, NOW)}
    assert {name: each.source for name, each in found.items()} == {
        "gateway URL": "state",
        "managed service": "live",
        "API key": "terraform",
        "service web in europe-west1": "live",
    }
    assert all(each.checked == NOW for each in found.values())
    assert found["API key"].command == (
        "gcloud secrets versions access 2 --secret=shop-production-api-key --project=acme-prod"
    )


def test_an_old_output_of_a_failed_run_is_not_believed() -> None:
    known = Known({"gateway_url": "https://gone.ew.gateway.dev"})
    live = Live(wrong={"gateway_url": "there is no gateway shop-production"})
    missing = settle(WANTED, known, live, NOW)[0]
    assert not missing.is_there
    assert missing.value == ""
    assert missing.reason == ("there is no gateway shop-production; Terraform still says https://gone.ew.gateway.dev")
    assert missing.command == "slipway provision --environment production"


def test_the_key_that_is_looked_for_is_the_one_that_the_state_has() -> None:
    """A run that ends before it knows which one it wants would look for the first one, which is deleted by then."""
    names = ("shop-production-k3", "shop-production-k2")
    state = {f'google_apikeys_key.key["{name}"]': Resource("", "google_apikeys_key", {"name": name}) for name in names}
    assert generation_in(state) == 3
    assert generation_in({}) == 0
