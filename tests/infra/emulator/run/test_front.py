"""The front door of the local Cloud Run: who gets in, where requests go, and what becomes of them."""

from __future__ import annotations

import concurrent.futures
import threading
import time

import google.auth.transport.requests
import httpx
import pytest
from google.cloud import run_v2
from google.oauth2 import service_account

from tests.infra.emulator.emulated_run import PARENT, Run, answer, fetch, new_name, short, template, to


@pytest.fixture
def run(cloud_env: dict[str, str]) -> Run:
    return Run()


def id_token(cloud_env: dict[str, str], audience: str) -> str:
    key = cloud_env["GOOGLE_APPLICATION_CREDENTIALS"]
    credentials = service_account.IDTokenCredentials.from_service_account_file(key, target_audience=audience)
    credentials.refresh(google.auth.transport.requests.Request())
    return str(credentials.token)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_a_private_service_refuses_strangers_with_googles_page(run: Run) -> None:
    service = run.create(new_name(), public=False)
    response = fetch(service.uri, "/secret")
    assert response.status_code == 403
    assert "Your client does not have permission to get URL <code>/secret</code> from this server." in response.text


def test_a_private_service_lets_in_an_id_token_of_an_invoker(run: Run, cloud_env: dict[str, str]) -> None:
    service = run.create(new_name(), public=False)
    headers = bearer(id_token(cloud_env, service.uri))
    assert fetch(service.uri, headers=headers).status_code == 200  # the deployer owns the project


@pytest.mark.parametrize("token", ["nonsense", "a.b.c"], ids=["no token", "forged"])
def test_a_bad_token_is_unauthorized(run: Run, token: str) -> None:
    service = run.create(new_name(), public=False)
    assert fetch(service.uri, headers=bearer(token)).status_code == 401


def test_a_token_for_another_audience_is_unauthorized(run: Run, cloud_env: dict[str, str]) -> None:
    service = run.create(new_name(), public=False)
    assert fetch(service.uri, headers=bearer(id_token(cloud_env, "https://else.example"))).status_code == 401


def test_a_custom_audience_is_accepted(run: Run, cloud_env: dict[str, str]) -> None:
    service = run.create(new_name(), public=False, custom_audiences=["https://shop.example"])
    assert fetch(service.uri, headers=bearer(id_token(cloud_env, "https://shop.example"))).status_code == 200


def test_a_service_without_the_invoker_check_lets_everybody_in(run: Run) -> None:
    service = run.create(new_name(), public=False, invoker_iam_disabled=True)
    assert fetch(service.uri).status_code == 200


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_a_request_reaches_the_container_as_it_was_sent(run: Run, method: str) -> None:
    service = run.create(new_name())
    response = fetch(service.uri, "/a%2Fb?c=d%20e&c=f", method=method, content=b"payload", headers={"X-Mine": "1"})
    seen = response.json()
    assert (seen["path"], seen["method"], seen["body"]) == ("/a%2Fb?c=d%20e&c=f", method, "payload")
    assert seen["headers"]["X-Mine"] == "1"
    assert seen["headers"]["Host"] == service.uri.removeprefix("http://")
    assert seen["headers"]["X-Forwarded-For"] == "127.0.0.1"


def test_an_answer_comes_back_as_the_container_gave_it(run: Run) -> None:
    service = run.create(new_name())
    assert fetch(service.uri, "/status/418").status_code == 418
    head = fetch(service.uri, method="HEAD")
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["Content-Length"]) > 100


STREAMER = """
import http.server, os, time
class App(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200); self.send_header("Transfer-Encoding", "chunked"); self.end_headers()
        for word in (b"first", b"second"):
            self.wfile.write(b"%x\\r\\n%s\\r\\n" % (len(word), word)); self.wfile.flush(); time.sleep(0.5)
        self.wfile.write(b"0\\r\\n\\r\\n")
http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), App).serve_forever()
"""


def test_an_answer_is_streamed_while_the_container_writes_it(run: Run) -> None:
    service = run.create(new_name(), template(STREAMER))
    start = time.monotonic()
    with httpx.stream("GET", service.uri, trust_env=False) as response:
        pieces = [(piece, time.monotonic() - start) for piece in response.iter_raw()]
    assert b"".join(piece for piece, _ in pieces) == b"firstsecond"
    assert pieces[0][1] < pieces[-1][1] - 0.2


def test_a_request_that_takes_longer_than_the_timeout_is_cut(run: Run) -> None:
    service = run.create(new_name(), template(timeout="1s"))
    assert fetch(service.uri, "/slow/5").status_code == 504


def test_a_service_that_never_started_has_no_address_and_its_fixed_successor_has(run: Run) -> None:
    name = new_name()
    made = run_v2.Service(template=template("raise SystemExit('broken')"))
    run.failure(run.services.create_service(parent=PARENT, service=made, service_id=name))
    service = run.get(name)
    assert not service.uri
    service.template = template()
    fixed = run.update(service)
    run.open_to("allUsers", fixed.name)
    assert answer(fixed.uri)["revision"] == short(fixed.latest_ready_revision)


def test_a_crashed_instance_is_started_again_for_the_next_request(run: Run) -> None:
    service = run.create(new_name())
    first = answer(service.uri)["pid"]
    assert fetch(service.uri, "/exit/1").status_code == 503
    assert answer(service.uri)["pid"] != first


def test_no_request_fails_while_traffic_moves(run: Run) -> None:
    name = new_name()
    service = run.create(name, template(revision=f"{name}-a"))
    service.template, service.traffic = template(revision=f"{name}-b", env={"B": "1"}), [to(f"{name}-a", 100)]
    service = run.update(service)
    stop, seen = threading.Event(), list[tuple[int, str]]()

    def visit() -> None:
        with httpx.Client(base_url=service.uri, trust_env=False, timeout=20) as client:
            while not stop.is_set():
                responses = (client.get("/"), client.post("/", content=b"x"))
                seen.extend((response.status_code, response.json()["revision"]) for response in responses)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        visitors = [pool.submit(visit) for _ in range(4)]
        for percent in (50, 0, 100):
            current = run.get(name)
            shares = {f"{name}-a": percent, f"{name}-b": 100 - percent}
            current.traffic = [to(revision, share) for revision, share in shares.items() if share]
            run.update(current, "traffic")
            enough = len(seen) + 40
            while len(seen) < enough and not any(visitor.done() for visitor in visitors):
                time.sleep(0.01)
        stop.set()
        for visitor in visitors:
            visitor.result()
    assert {status for status, _ in seen} == {200}
    assert {revision for _, revision in seen} == {f"{name}-a", f"{name}-b"}


def test_a_request_in_flight_finishes_on_the_revision_that_took_it(run: Run) -> None:
    name = new_name()
    service = run.create(name, template(revision=f"{name}-a"))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        slow = pool.submit(answer, service.uri, "/slow/1.5")
        service.template = template(revision=f"{name}-b", env={"B": "1"})
        moved = run.update(service)
        assert answer(moved.uri)["revision"] == f"{name}-b"
        assert slow.result()["revision"] == f"{name}-a"


def test_an_app_is_told_that_the_caller_came_over_https(run: Run) -> None:
    service = run.create(new_name())
    headers = answer(service.uri)["headers"]
    assert headers.get("X-Forwarded-Proto") == "https"


@pytest.mark.parametrize("ingress", ["INGRESS_TRAFFIC_INTERNAL_ONLY", "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"])
def test_a_service_for_internal_traffic_is_not_found_from_outside(run: Run, ingress: str) -> None:
    service = run.create(new_name(), ingress=getattr(run_v2.IngressTraffic, ingress))
    assert fetch(service.uri).status_code == 404


def test_a_service_without_default_url_is_not_found_there(run: Run) -> None:
    service = run.create(new_name())
    closed = run.update(run_v2.Service(name=service.name, default_uri_disabled=True), "default_uri_disabled")
    assert (closed.uri, list(closed.urls)) == ("", [])
    assert fetch(service.uri).status_code == 404
    opened = run.update(run_v2.Service(name=service.name, default_uri_disabled=False), "default_uri_disabled")
    assert opened.uri == service.uri
    assert fetch(opened.uri).status_code == 200


def test_googles_front_end_answers_healthz_itself(run: Run) -> None:
    service = run.create(new_name())
    response = fetch(service.uri, "/healthz")
    assert response.status_code == 404
    assert "from this server" in response.text


def test_identity_aware_proxy_asks_for_a_token_before_the_service_is_reached(
    run: Run, cloud_env: dict[str, str]
) -> None:
    service = run.create(new_name(), iap_enabled=True)
    response = fetch(service.uri)
    assert response.status_code == 401
    assert response.headers["X-Goog-IAP-Generated-Response"] == "true"
    refused = fetch(service.uri, headers=bearer(id_token(cloud_env, service.uri)))
    assert (refused.status_code, refused.headers["X-Goog-IAP-Generated-Response"]) == (401, "true")
    said = f"JWT audience doesn't match this application ('aud' claim ({service.uri}) doesn't match expected value "
    assert said in refused.text
    client = refused.text.partition(said)[2].strip("()")
    assert client.endswith(".apps.googleusercontent.com")
    allowed = fetch(service.uri, headers=bearer(id_token(cloud_env, client)))
    assert allowed.status_code == 200  # the deployer owns the project
