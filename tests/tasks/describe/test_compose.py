"""What is read from compose files, and what is left to a person."""

from __future__ import annotations

import pytest

from tasks.describe.compose import read_compose
from tasks.describe.proposal import Found, is_secret

FILE = """\
services:
  web:
    build: ./web
    ports: ["127.0.0.1:8080:${WEB_PORT:-80}"]
    depends_on: [api, redis]
    environment:
      - MODE=fast
      - DEBUG
      - SESSION_SECRET=hunter2
      - CACHE=redis://redis:6379
      - API_URL=http://api:5000
      - PORT=80
  api:
    build: {context: ., dockerfile: services/api/Dockerfile, args: {EDITION: "1", NPM_TOKEN: hunter2}, target: prod}
    command: [serve]
    depends_on: {db: {condition: service_healthy}}
    environment: {RETRIES: 3, TRACE: true, STORE: "postgres://shop:hunter2@db/shop"}
    expose: [5000]
  job: {build: jobs}
  seed: {build: seed, profiles: [seed]}
  outside: {build: ../other}
  redis: {image: "redis:7"}
  db: {image: postgres}
"""


def test_what_is_built_becomes_a_service() -> None:
    said = read_compose(FILE, "compose.yaml")
    web, api, job = said.services
    assert web == Found(
        name="web",
        source="web",
        dockerfile="Dockerfile",
        port=80,
        env={"MODE": "fast"},
        depends_on=("api",),
        decide=(
            "secrets, which map a variable to a secret's name: SESSION_SECRET.",
            "env, values that come from outside: DEBUG.",
            "env, addresses that only hold in compose: CACHE.",
        ),
    )
    assert (api.source, api.dockerfile, api.port) == (".", "services/api/Dockerfile", 5000)
    assert (api.args, api.env) == ({"EDITION": "1"}, {"RETRIES": "3", "TRACE": "true"})
    assert [sentence.split(":")[0] for sentence in api.decide] == [
        "secrets, which map a variable to a secret's name",
        "build",
        "what starts it",
        "what it is built to",
    ]
    assert (job.works, job.port) == ((), None)


def test_a_command_of_what_publishes_no_port_is_taken_over_unless_only_a_shell_knows_it() -> None:
    file = """services:
  beat: {build: ., command: celery -A "my app" beat}
  list: {build: ., command: [work, --all]}
  shell: {build: ., command: work $QUEUE}
  own: {build: ., entrypoint: work, command: fast}
  web: {build: ., ports: [80], command: serve, healthcheck: {test: [CMD, curl, "-f", "http://localhost:80/up"]}}
"""
    said = {each.name: each for each in read_compose(file, "compose.yaml").services}
    assert {name: each.works for name, each in said.items()} == {
        "beat": ("celery", "-A", "my app", "beat"), "list": ("work", "--all"), "shell": (), "own": (), "web": None,
    }  # fmt: skip
    assert {name for name, each in said.items() if any("what starts it" in one for one in each.decide)} == {
        "shell", "own", "web",
    }  # fmt: skip
    assert said["web"].health == "/up"


def test_what_is_not_built_there_is_told() -> None:
    notes = read_compose(FILE, "compose.yaml").notes
    assert [note.split(":")[1].split()[0] for note in notes] == ["outside", "seed", "redis", "db"]
    assert "redis:7" in notes[2]


def test_no_secret_is_taken_over() -> None:
    assert "hunter2" not in str(read_compose(FILE, "compose.yaml"))


def test_a_file_that_says_nothing_is_told() -> None:
    for text in ("", "[", "services: []", "a: !reset null", "- 1"):
        said = read_compose(text, "compose.yaml")
        assert not said.services
        assert said.notes[0].startswith("compose.yaml ")


def test_the_file_of_variables_beside_it_says_how_things_are_built() -> None:
    text = """\
services:
  ad:
    build: {context: ., dockerfile: "${AD_DOCKERFILE}", args: {VERSION: "${VERSION}", X: "${NPM_TOKEN}"}}
    ports: ["${AD_PORT}"]
    environment: {AD_PORT: "${AD_PORT}"}
  db: {image: "${DB_IMAGE}"}
"""
    dotenv = """\
# ports
AD_PORT=9555
export BASE='src'
AD_DOCKERFILE=${BASE}/ad/Dockerfile
VERSION=1.2
NPM_TOKEN=hunter2
DB_IMAGE=postgres:17
"""
    said = read_compose(text, "compose.yaml", dotenv)
    (ad,) = said.services
    assert (ad.dockerfile, ad.port, ad.args) == ("src/ad/Dockerfile", 9555, {"VERSION": "1.2"})
    assert ad.env == {}
    assert "AD_PORT" in ad.decide[0]
    assert "db (postgres:17)" in said.notes[0]
    assert "hunter2" not in str(said)


@pytest.mark.parametrize(("name", "secret"), [("API_KEY", True), ("OPENAI_APIKEY", True), ("VALKEY_ADDR", False)])
def test_the_name_of_a_store_that_ends_like_a_secret_is_none(name: str, *, secret: bool) -> None:
    assert is_secret(name, "") is secret


def test_what_is_asked_by_a_health_check_is_a_service_at_that_port() -> None:
    file = """services:
  api: {build: ., healthcheck: {test: [CMD, curl, "-f", "http://localhost:8000/up"]}}
  beat: {build: ., healthcheck: {test: [CMD, pgrep, celery]}}
"""
    api, beat = read_compose(file, "compose.yaml").services
    assert (api.port, api.health, api.works) == (8000, "/up", None)
    assert (beat.port, beat.works) == (None, ())


def test_variables_are_filled_in_as_compose_does() -> None:
    file = """services:
  web:
    build: .
    ports: ["80"]
    environment: {A: "${A:?must be given}", B: "${B?}", C: "${C-c}", D: "${C:+there}d", E: "$$5", F: "${F:-f}"}
"""
    (web,) = read_compose(file, "compose.yaml").services
    assert web.env == {"C": "c", "D": "d", "E": "$5", "F": "f"}
    assert web.decide == ("env, values that come from outside: A, B.",)
