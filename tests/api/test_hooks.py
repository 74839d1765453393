"""Webhooks: what they start, and what they never start."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun

from api.proof import WINDOW_S
from api.settings import Settings
from tasks.names.tags import STARTED_BY
from tests.api.conftest import SECRET, registered, serving

OLD, NEW = "a" * 40, "b" * 40


@pytest.fixture
async def name(client: PrefectClient) -> str:
    """Of an app that is registered from a repository of its own."""
    name = f"shop-{uuid4().hex[:8]}"
    await registered(client, name, f"https://github.com/acme/{name}.git")
    return name


def payload(name: str, ref: str = "refs/heads/main", before: str = OLD, after: str = NEW) -> dict[str, Any]:
    repository = {"clone_url": f"https://github.com/Acme/{name}.git", "ssh_url": f"git@github.com:acme/{name}.git"}
    return {"ref": ref, "before": before, "after": after, "repository": repository, "pusher": {"name": "ada"}}


async def send(
    http: httpx.AsyncClient, said: Any, delivery: str = "", secret: bytes = SECRET, **headers: str
) -> httpx.Response:
    body = json.dumps(said).encode()
    signature = f"sha256={hmac.new(secret, body, hashlib.sha256).hexdigest()}"
    own = {"X-GitHub-Event": "push", "X-Hub-Signature-256": signature, "X-GitHub-Delivery": delivery or uuid4().hex}
    return await http.post("/hooks/github", content=body, headers=own | headers)


async def started(client: PrefectClient, answer: httpx.Response) -> list[FlowRun]:
    assert answer.status_code == 202, answer.text
    return [await client.read_flow_run(UUID(each["id"])) for each in answer.json()["started"]]


async def test_a_push_to_a_branch_ships_its_commit_to_the_environment_that_names_it(
    stranger: httpx.AsyncClient, client: PrefectClient, name: str
) -> None:
    [run] = await started(client, await send(stranger, payload(name), "delivery-1"))
    staging = await client.read_deployment_by_name(f"deploy/{name}-staging")
    assert run.deployment_id == staging.id
    source = {"repository": f"https://github.com/acme/{name}.git", "credentials": "git-token", "ref": NEW}
    assert run.parameters == {"source": source, "environment": "staging"}
    assert "delivery:delivery-1" in run.tags
    assert run.labels[STARTED_BY] == "github push by ada"


async def test_a_push_of_a_tag_ships_by_the_tag_once_for_the_app(
    stranger: httpx.AsyncClient, client: PrefectClient, name: str
) -> None:
    [run] = await started(client, await send(stranger, payload(name, "refs/tags/v1.4.0")))
    assert run.deployment_id == (await client.read_deployment_by_name("ship/by-tag")).id
    assert run.parameters["source"]["ref"] == "v1.4.0"


async def test_one_push_ships_once_however_often_and_by_whatever_id_it_is_told(
    stranger: httpx.AsyncClient, client: PrefectClient, name: str
) -> None:
    first = await started(client, await send(stranger, payload(name), "one"))
    again = await asyncio.gather(*(send(stranger, payload(name), f"another-{n}") for n in range(4)))
    assert {run.id for answer in again for run in await started(client, answer)} == {first[0].id}
    back = await started(client, await send(stranger, payload(name, before=NEW, after=OLD)))
    forth = await started(client, await send(stranger, payload(name, before="c" * 40, after=NEW)))
    assert len({run.id for run in (*first, *back, *forth)}) == 3


@pytest.mark.parametrize("ref", ["refs/heads/feature", "refs/heads/maintenance"])
async def test_a_branch_that_no_environment_names_is_ignored_and_said(
    stranger: httpx.AsyncClient, name: str, ref: str
) -> None:
    answer = await send(stranger, payload(name, ref))
    assert (answer.status_code, answer.json()["started"]) == (202, [])
    assert "no environment names" in answer.json()["ignored"]


async def test_a_repository_that_nobody_registered_starts_nothing(stranger: httpx.AsyncClient, name: str) -> None:
    for other in (f"{name}-fork", f"x/../{name}"):
        answer = await send(stranger, payload(other))
        assert answer.status_code == 404
        assert "slipway register" in answer.json()["detail"]


async def test_a_wrong_signature_starts_nothing(stranger: httpx.AsyncClient, client: PrefectClient, name: str) -> None:
    before = await client.count_flow_runs()
    for secret in (b"wrong", b""):
        assert (await send(stranger, payload(name), secret=secret)).status_code == 401
    unsigned = await stranger.post("/hooks/github", json=payload(name), headers={"X-GitHub-Event": "push"})
    assert unsigned.status_code == 401
    assert (await stranger.post("/hooks/sourceforge", json={})).status_code == 422
    assert await client.count_flow_runs() == before


@pytest.mark.parametrize(("ago_s", "code"), [(0, 202), (WINDOW_S + 5, 401), (-WINDOW_S - 5, 401)])
async def test_what_was_signed_long_ago_is_not_taken_any_more(
    stranger: httpx.AsyncClient, name: str, ago_s: float, code: int
) -> None:
    said = {"repository": f"https://github.com/acme/{name}.git", "ref": "refs/heads/other", "before": OLD, "after": NEW}
    body, id, signed = json.dumps(said).encode(), uuid4().hex, str(int(time.time() - ago_s))
    proof = hmac.new(SECRET, b".".join([id.encode(), signed.encode(), body]), hashlib.sha256).digest()
    signature = f"v1,{base64.b64encode(proof).decode()}"
    headers = {"webhook-id": id, "webhook-timestamp": signed, "webhook-signature": signature}
    assert (await stranger.post("/hooks/generic", content=body, headers=headers)).status_code == code


async def test_a_body_without_end_is_not_read_to_its_end(stranger: httpx.AsyncClient) -> None:
    async def endless() -> Any:
        while True:
            yield b"x" * (1 << 20)

    try:
        answer = await stranger.post("/hooks/github", content=endless())
    except httpx.TransportError:  # it hangs up
        return
    assert answer.status_code == 413


async def test_what_says_that_it_is_too_long_is_refused_before_it_is_sent(address: str) -> None:
    host, _, port = address.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    asked = f"POST /hooks/github HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {30 << 20}\r\n\r\n"
    writer.write(asked.encode())
    assert (await reader.readline()).split()[1] == b"413"
    writer.close()
    await writer.wait_closed()


async def test_without_a_secret_no_webhook_is_taken(prefect: None) -> None:
    async with serving(Settings()) as address, httpx.AsyncClient(base_url=address, trust_env=False) as http:
        answer = await send(http, payload("shop"), secret=b"")
        assert answer.status_code == 503
        assert "SLIPWAY_HOOK_SECRETS" in answer.json()["detail"]
