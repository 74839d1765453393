"""Who may let everybody in."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.api_core import exceptions
from google.cloud import run_v2

from tests.infra.emulator.emulated_run import PARENT, QUICK, Run, new_name, template
from tests.infra.emulator.identities import new_identity


@pytest.fixture
def run(cloud_env: dict[str, str]) -> Run:
    return Run()


def test_callers_go_unchecked_only_where_one_may_set_who_may_call(run: Run, tmp_path: Path) -> None:
    """https://cloud.google.com/run/docs/authenticating/public#required_roles"""
    developer = new_identity(tmp_path, ["roles/run.developer", "roles/iam.serviceAccountUser"])
    theirs = run_v2.ServicesClient(credentials=developer.credentials)
    unchecked = run_v2.Service(template=template(), invoker_iam_disabled=True)
    with pytest.raises(exceptions.PermissionDenied, match=r"run\.services\.setIamPolicy"):
        theirs.create_service(parent=PARENT, service=unchecked, service_id=new_name())
    made = theirs.create_service(
        parent=PARENT, service=run_v2.Service(template=template()), service_id=new_name()
    ).result(polling=QUICK)
    made.invoker_iam_disabled = True
    with pytest.raises(exceptions.PermissionDenied, match=r"run\.services\.setIamPolicy"):
        theirs.update_service(service=made)
    assert run.services.update_service(service=made).result(polling=QUICK).invoker_iam_disabled
    made.etag, made.description = "", "as it is"
    assert theirs.update_service(service=made).result(polling=QUICK).description == "as it is"
