"""Callers who show an ID token of Google's: whose it is, for whom it is, and whether Google has made it."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from uuid import UUID, uuid4

import httpx
import pytest
from prefect.client.orchestration import PrefectClient

from api.settings import Settings, read_settings
from infra.gcp.iam.identity import fetch_id_token, whoami
from tasks.failures.errors import ParameterError
from tasks.names.tags import STARTED_BY
from tests.api.conftest import TOKEN, registered, serving

HERE, ELSEWHERE = "https://slipway.acme.example", "https://another.acme.example"


def as_somebody_else(token: str) -> str:
    head, claims, signature = token.split(".")
    said = json.loads(urlsafe_b64decode(claims + "=" * (-len(claims) % 4))) | {"email": "mallory@example.com"}
    return f"{head}.{urlsafe_b64encode(json.dumps(said).encode()).decode().rstrip('=')}.{signature}"


async def asked(settings: Settings, token: str, path: str = "/queue") -> httpx.Response:
    async with serving(settings) as address, httpx.AsyncClient(base_url=address, trust_env=False, timeout=60) as http:
        return await http.get(path, headers={"Authorization": f"Bearer {token}"})


async def test_who_may_call_is_known_by_a_token_of_googles_and_recorded(client: PrefectClient) -> None:
    email, token = await whoami(), await fetch_id_token(HERE)
    settings = Settings((TOKEN,), audience=HERE, callers=frozenset({email.lower()}))
    name = f"shop-{uuid4().hex[:8]}"
    await registered(client, name, f"https://host/{name}.git")
    async with serving(settings) as address, httpx.AsyncClient(base_url=address, trust_env=False, timeout=60) as http:
        headers = {"Authorization": f"Bearer {token}", "Slipway-Started-By": "somebody else"}
        started = await http.post("/deployments", json={"app": name, "environment": "staging"}, headers=headers)
        assert started.status_code == 202
        run = await client.read_flow_run(UUID(started.json()["id"]))
        assert run.labels[STARTED_BY] == email
        assert (await http.get("/queue", headers={"Authorization": f"Bearer {TOKEN.decode()}"})).status_code == 200


async def test_any_other_token_is_refused_with_the_reason(prefect: None) -> None:
    email, token = await whoami(), await fetch_id_token(HERE)
    allowed = Settings(audience=HERE, callers=frozenset({email.lower()}))
    for given, said in (
        (await fetch_id_token(ELSEWHERE), "audience"),
        (as_somebody_else(token), "not accepted"),
        ("a.b.c", "not accepted"),
    ):
        answer = await asked(allowed, given)
        assert answer.status_code == 401
        assert said in answer.json()["detail"]
        assert given not in answer.text
    assert (await asked(allowed, "wrong")).status_code == 401
    stranger = await asked(Settings(audience=HERE, callers=frozenset({"ada@example.com"})), token)
    assert (stranger.status_code, stranger.json()["detail"]) == (403, f"{email} is none of those who may call.")
    assert (await asked(Settings((TOKEN,)), token)).status_code == 401


def test_an_audience_without_callers_would_let_everybody_in_or_nobody() -> None:
    said = {"SLIPWAY_API_AUDIENCE": HERE, "SLIPWAY_API_CALLERS": "Ada@example.com bob@example.com"}
    assert read_settings(said).callers == {"ada@example.com", "bob@example.com"}
    for name in said:
        with pytest.raises(ParameterError, match="only of use together"):
            read_settings({name: said[name]})
