"""What a plan may do: nothing that holds data is lost, nothing that is adopted is replaced."""

from __future__ import annotations

import pytest

from infra.terraform.plan import Change, Plan
from tasks.failures.errors import ParameterError
from tasks.provision.guard import Judgement, check_fresh, judge, judge_removal, replaced
from tests.tasks.provision.wanted_of import wanted_of

REPLACE = ("delete", "create")


def judged(type: str, *actions: str, imports: str = "", fresh: tuple[str, ...] = (), has_key: bool = False) -> str:
    found = judge(Plan((Change(f"{type}.x", type, actions, imports),)), fresh, has_key=has_key)
    return "refused" if found.refused else "asked" if found.to_ask else "done"


@pytest.mark.parametrize(
    ("type", "actions", "imports", "then"),
    [
        ("google_storage_bucket", ("create",), "", "done"),
        ("google_storage_bucket", ("no-op",), "p/b", "done"),
        ("google_storage_bucket", ("update",), "p/b", "done"),
        ("google_storage_bucket", REPLACE, "p/b", "refused"),
        ("google_storage_bucket", REPLACE, "", "refused"),
        ("google_storage_bucket", ("delete",), "", "asked"),
        ("google_service_account", REPLACE, "", "refused"),
        ("google_service_account", ("delete",), "", "asked"),
        ("google_secret_manager_secret", ("create", "delete"), "", "refused"),
        ("google_project_iam_member", ("delete",), "", "done"),
        ("google_project_service", ("delete",), "", "done"),
        ("google_api_gateway_api_config", ("create", "delete"), "", "done"),
        ("google_api_gateway_api_config", ("create", "delete"), "p/c", "refused"),
        ("google_api_gateway_gateway", REPLACE, "", "asked"),
        ("google_apikeys_key", ("delete",), "", "asked"),
        ("google_apikeys_key", ("create", "delete"), "", "asked"),
        ("google_secret_manager_secret_version", ("create", "delete"), "", "done"),
    ],
)
def test_what_may_be_done(type: str, actions: tuple[str, ...], imports: str, then: str) -> None:
    assert judged(type, *actions, imports=imports) == then


def test_what_was_asked_for_is_made_anew_and_nothing_else() -> None:
    assert replaced(["gateway"]) == ("google_api_gateway_gateway.gateway[0]",)
    assert replaced(["key"]) == ()
    assert judged("google_api_gateway_gateway", *REPLACE, fresh=("gateway",)) == "done"
    assert judged("google_apikeys_key", *REPLACE, fresh=("key",)) == "done"
    assert judged("google_apikeys_key", *REPLACE, fresh=("gateway",)) == "asked"
    assert judged("google_storage_bucket", *REPLACE, fresh=("gateway", "key")) == "refused"


def test_a_key_that_is_followed_by_another_goes_without_a_question_also_after_the_run_that_was_asked_for_it() -> None:
    assert judged("google_apikeys_key", "delete", has_key=True) == "done"
    assert judged("google_apikeys_key", *REPLACE, has_key=True) == "asked"
    assert judged("google_api_gateway_gateway", "delete", has_key=True) == "asked"


def test_a_removal_makes_nothing() -> None:
    plan = Plan((Change("a.x", "a", ("delete",)), Change("b.x", "b", ("create",))))
    assert judge_removal(plan) == Judgement(
        refused=("b.x: would be changed (create)",), to_ask=("a.x: would be deleted",)
    )


def test_what_there_is_none_of_cannot_be_made_anew() -> None:
    check_fresh(wanted_of().provision, ["gateway", "key"])
    bare = wanted_of("gateway: {openapi: api.yaml, service_account: shop-gateway}").provision
    check_fresh(bare, ["gateway"])
    with pytest.raises(ParameterError, match="no key to make anew"):
        check_fresh(bare, ["key"])
    with pytest.raises(ParameterError, match="no gateway to make anew"):
        check_fresh(wanted_of("buckets: {up: }").provision, ["gateway"])
