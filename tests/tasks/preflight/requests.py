"""Requests to ship to the local cloud, and what may be there already."""

from __future__ import annotations

import itertools

from google.cloud import run_v2
from google.iam.v1 import iam_policy_pb2

from tasks.model import Place, Request
from tests.conftest import PROJECT
from tests.tasks.builders import a_request

REGION = "europe-west1"
_numbers = itertools.count(1)
MANIFEST = """
app: NAME
services:
  web: {SERVICE}
environments:
  production: {project: PROJECT, regions: [REGION], bucket: NAME-bucket, MORE}
"""


def to_ship(service: str = "", more: str = "", project: str = PROJECT, region: str = REGION) -> Request:
    """An app unlike any other, of one service."""
    text = MANIFEST.replace("NAME", f"pre{next(_numbers)}").replace("SERVICE", service).replace("MORE", more)
    return a_request(text=text.replace("PROJECT", project).replace("REGION", region))


def name_of(request: Request) -> str:
    """The full name of its Cloud Run service."""
    return request.run_service(Place("web", request.build_region))


def release(request: Request, service: run_v2.Service | None = None, *, public: bool = False) -> str:
    """Google's own hello service in its place; answers its URL."""
    client, name = run_v2.ServicesClient(), name_of(request)
    wanted = service or run_v2.Service()
    wanted.template.containers = [run_v2.Container(image="us-docker.pkg.dev/cloudrun/container/hello")]
    parent, _, service_id = name.rpartition("/services/")
    made = client.create_service(parent=parent, service=wanted, service_id=service_id).result()
    if public:
        policy = client.get_iam_policy(request=iam_policy_pb2.GetIamPolicyRequest(resource=name))
        policy.bindings.add(role="roles/run.invoker", members=["allUsers"])
        client.set_iam_policy(request=iam_policy_pb2.SetIamPolicyRequest(resource=name, policy=policy))
    return str(made.uri)


def invite(name: str, member: str, role: str) -> None:
    """A role on one Cloud Run service."""
    client = run_v2.ServicesClient()
    policy = client.get_iam_policy(request=iam_policy_pb2.GetIamPolicyRequest(resource=name))
    policy.bindings.add(role=role, members=[member])
    client.set_iam_policy(request=iam_policy_pb2.SetIamPolicyRequest(resource=name, policy=policy))
