"""What a run needs, it is asked for before it begins."""

from __future__ import annotations

import pytest

from tasks.provision.needs import needed
from tests.tasks.provision.wanted_of import wanted_of


@pytest.mark.parametrize(
    ("said", "deletes"),
    [
        ("accounts: {shop-jobs: }", {"iam.serviceAccounts.delete"}),
        ("buckets: {uploads: }", {"storage.buckets.delete"}),
        ("secrets: {db: }", {"secretmanager.secrets.delete"}),
        ("gateway: {openapi: a.yaml, api_key: true, service_account: shop-jobs}", {"secretmanager.secrets.delete"}),
        ("apis: [pubsub.googleapis.com]", set()),
    ],
)
def test_who_takes_all_of_it_away_must_be_allowed_to_delete_it(said: str, deletes: set[str]) -> None:
    wanted = wanted_of(said)
    before = {need.permission for need in needed(wanted)}
    assert {need.permission for need in needed(wanted, removes=True)} - before == deletes
