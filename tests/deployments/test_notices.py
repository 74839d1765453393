"""Notices arrive at a real receiver, through a real Prefect server; what a person has switched off stays so."""

from __future__ import annotations

import asyncio
import email
import email.policy
import json
import os
import socket
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sized
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from email.message import EmailMessage
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from prefect.blocks.notifications import CustomWebhookNotificationBlock, MattermostWebhook, SlackWebhook
from prefect.blocks.system import Secret
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.events import emit_event
from prefect.events.worker import EventsWorker
from prefect.states import Paused
from pydantic import SecretStr

from deployments.automations import read_all
from deployments.notices import TELL, find_block, register_notices, silence
from deployments.register import Change
from tasks.failures.errors import ParameterError
from tasks.history.record import ReleaseRecord
from tasks.observe.notice import notice_of
from tasks.observe.tell import emit
from tests.servers import prefect_server_in, used_by_prefect
from tests.serving import serving
from tests.tasks.observe.test_figures import release

R = TypeVar("R")
PATIENCE_S = 120
PATHS, SLOW_S = ("/team", "/slow", "/fallback"), 0.5
INCIDENTS = int(os.environ.get("SLIPWAY_INCIDENTS", "6"))


@dataclass
class Receiver:
    """What arrived at each of its paths, by title and text; /broken answers 500, and /slow takes its time."""

    address: str = ""
    told: dict[str, list[dict[str, str]]] = field(default_factory=lambda: defaultdict(list))

    @property
    def arrived(self) -> list[dict[str, str]]:
        return self.told["/team"]

    async def until(self, title: str) -> dict[str, str]:
        return await until(lambda: next((each for each in self.arrived if title in each["title"]), None))


@dataclass
class Mailbox:
    """What a real SMTP server has taken."""

    mails: list[EmailMessage] = field(default_factory=list)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        self.mails.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        return "250 OK"


async def until(look: Callable[[], R | None]) -> R:
    async with asyncio.timeout(PATIENCE_S):
        while (found := look()) is None:  # noqa: ASYNC110 - nothing tells of it but a look
            await asyncio.sleep(0.05)
    return found


@pytest.fixture(scope="module")
async def server(database: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[None]:
    """Of its own: that of the session looks for no triggers."""
    async with AsyncExitStack() as stack:
        found = await prefect_server_in(stack, tmp_path_factory.mktemp("server"), database)
        with used_by_prefect(found):
            await drained()  # one of the session's server would take the events there
            yield
            await drained()


async def drained() -> None:
    waiting = EventsWorker.drain_all(timeout=30)
    assert asyncio.iscoroutine(waiting)
    await waiting


@pytest.fixture
async def client(server: None) -> AsyncIterator[PrefectClient]:
    async with get_client() as found:
        yield found


@pytest.fixture
async def receiver(server: None) -> AsyncIterator[Receiver]:
    """Known to Prefect as custom-webhook/ and one of its paths, and as mattermost-webhook/broken."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/slow":
                time.sleep(SLOW_S)
            if self.path in PATHS:
                receiver.told[self.path].append(json.loads(body))
            self.send_response(200 if self.path in PATHS else 500)
            self.end_headers()

    with serving(Handler) as receiver.address:
        said = {"title": "{{subject}}", "text": "{{body}}"}
        for path in (*PATHS, "/broken"):
            block = CustomWebhookNotificationBlock(name=path[1:], url=f"{receiver.address}{path}", json_data=said)
            await block.asave(path[1:], overwrite=True)
        place = urlsplit(receiver.address)
        refusing = MattermostWebhook(hostname=str(place.hostname), port=place.port or 80, token="a" * 26)
        await refusing.asave("broken", overwrite=True)
        yield receiver


@pytest.fixture
async def mailbox(server: None) -> AsyncIterator[Mailbox]:
    """Known to Prefect as slack-webhook/e-mail: a block of that kind takes any address that Apprise knows."""
    mailbox = Mailbox()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(mailbox, hostname="127.0.0.1", port=port)
    controller.start()
    where = f"mailto://127.0.0.1:{port}/?from=slipway@acme.example&to=team@acme.example&mode=insecure&format=text"
    await SlackWebhook(url=SecretStr(where)).asave("e-mail", overwrite=True)
    yield mailbox
    controller.stop()


async def a_run(client: PrefectClient, flow: str) -> FlowRun:
    id = await client.create_flow_from_name(flow)
    made = await client._client.post("/flow_runs/", json={"flow_id": str(id), "state": {"type": "RUNNING"}})
    return FlowRun.model_validate(made.raise_for_status().json())


def tell(record: ReleaseRecord, run: FlowRun) -> None:
    emit(notice_of(run.name, "Failed", "", record), run, record)


async def test_every_kind_of_incident_is_told_once_with_its_cause(client: PrefectClient, receiver: Receiver) -> None:
    await register_notices(client, ["custom-webhook/team"])
    run = await a_run(client, "deploy")
    tell(release("v2", 1, state="failed", outcome="escalated", reason='it says "no"\nat once'), run)
    failed = await receiver.until("NEEDS A PERSON")
    assert 'it says "no"\nat once' in failed["text"]
    assert str(run.id) in failed["text"]
    tell(release("v3", 2), run)
    assert "v3 in production: released" in (await receiver.until("v3"))["title"]
    emit_event(
        "slipway.drift.found", {"prefect.resource.id": "slipway.shop.production"}, payload={"title": "2 drifted"}
    )
    await receiver.until("2 drifted")
    waiting = await a_run(client, "deploy")
    await client.set_flow_run_state(waiting.id, Paused(timeout_seconds=60), force=True)
    assert str(waiting.id) in (await receiver.until(f"{waiting.name} waits for a person"))["text"]
    assert len(receiver.arrived) == 4


async def test_a_notice_that_is_lost_is_told_by_another_way(client: PrefectClient, receiver: Receiver) -> None:
    await register_notices(client, ["mattermost-webhook/broken"], "custom-webhook/team")
    tell(release("v9", 1, state="failed"), await a_run(client, "deploy"))
    lost = await receiver.until("could not do its work")
    assert f"{TELL}failed releases" in lost["title"]
    assert "By broken: Notification failed" in lost["text"]


async def all_arrive(look: Callable[[], list[str]], titles: list[str]) -> None:
    await so_many(look, len(titles))
    assert sorted(look()) == sorted(titles)


async def so_many(look: Callable[[], Sized], wanted: int) -> None:
    """Patience is for one after another: how fast many come says more of the machine than of us."""
    while (there := len(look())) < wanted:
        await until(partial(more_than, there, look))


def more_than(there: int, look: Callable[[], Sized]) -> bool | None:
    return len(look()) > there or None


async def test_a_notice_comes_as_an_e_mail(client: PrefectClient, mailbox: Mailbox) -> None:
    await register_notices(client, ["slack-webhook/e-mail"])
    tell(
        release("v7", 1, state="failed", outcome="taken back", reason='it says "no" & <ü>'),
        await a_run(client, "deploy"),
    )
    mail = await until(lambda: next((each for each in mailbox.mails if "v7 in" in each["subject"]), None))
    assert mail["subject"] == "shop v7 in production: taken back; users have what they had before"
    assert (mail["to"], mail.get_content_type()) == ("team@acme.example", "text/plain")
    assert 'it says "no" & <ü>' in str(mail.get_content())


@pytest.mark.timeout(1800 if INCIDENTS > 6 else 300)
async def test_each_notice_of_many_incidents_arrives_or_its_loss_is_told(
    client: PrefectClient, receiver: Receiver, mailbox: Mailbox
) -> None:
    """To a chat, a mailbox, one that is slow and one that refuses everything, at once."""
    ways = ["custom-webhook/team", "slack-webhook/e-mail", "custom-webhook/slow", "mattermost-webhook/broken"]
    await register_notices(client, ways, "custom-webhook/fallback")
    run, titles = await a_run(client, "deploy"), []
    for number in range(INCIDENTS):
        record = release(f"v{number}.0.0", 1, state="failed", outcome="taken back")
        titles.append(notice_of(run.name, "Failed", "", record).title)
        tell(record, run)
    await all_arrive(lambda: [each["title"] for each in receiver.arrived], titles)
    await all_arrive(lambda: [each["title"] for each in receiver.told["/slow"]], titles)
    await all_arrive(lambda: [each["subject"] for each in mailbox.mails], titles)
    lost = receiver.told["/fallback"]
    await so_many(lambda: lost, INCIDENTS)
    assert {each["text"].splitlines()[0] for each in lost} == {"By broken: Notification failed"}


async def test_what_a_person_switched_off_stays_so_and_nothing_is_made_twice(
    client: PrefectClient, receiver: Receiver
) -> None:
    await silence(client)
    first = await register_notices(client, ["custom-webhook/team"])
    assert {each.change for each in first} == {Change.CREATED}
    [releases] = [each for each in await read_all(client) if each.name == f"{TELL}releases"]
    await client.pause_automation(releases.id)
    again = await register_notices(client, ["custom-webhook/team"])
    assert {each.change for each in again} == {Change.UNCHANGED}
    moved = await register_notices(client, ["custom-webhook/broken"])
    assert {each.change for each in moved} == {Change.CHANGED}
    [still] = [each for each in await read_all(client) if each.name == f"{TELL}releases"]
    assert (still.id, still.enabled) == (releases.id, False)
    assert len(await silence(client)) == len(first)
    assert not [each for each in await read_all(client) if each.name.startswith(TELL)]


async def test_a_block_that_cannot_tell_anybody_is_refused_at_once(client: PrefectClient) -> None:
    await Secret(value="x").asave("quiet", overwrite=True)
    for name, said in (
        ("secret/quiet", "sends no notices"),
        (f"slack-webhook/{uuid4().hex}", "no block"),
        ("x", "no block"),
    ):
        with pytest.raises(ParameterError, match=said):
            await find_block(client, name)
