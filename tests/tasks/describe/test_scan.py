"""Which Dockerfiles, contexts and folders become services."""

from __future__ import annotations

import pytest

from tasks.describe.proposal import Found, Proposal, app_name, named
from tasks.describe.scan import scan
from tasks.describe.write import write_manifest
from tasks.manifest.loading import judge


def found(files: dict[str, str], app: str = "shop") -> dict[str, Found]:
    return {each.name: each for each in named(scan(files, files.__getitem__), app).services}


def test_a_dockerfile_at_the_root_is_the_one_service() -> None:
    (web,) = found({"Dockerfile": "FROM scratch\nCOPY . .\nEXPOSE 3000", "main.py": ""}).values()
    assert web == Found("web", ".", "Dockerfile", port=3000)


def test_a_monorepo_whose_dockerfiles_copy_from_its_root() -> None:
    text = "FROM node\nCOPY package.json packages ./\nCOPY services/{} ./\n"
    files = {f"services/{name}/Dockerfile": text.format(name) for name in ("api", "worker")}
    files |= {"package.json": "{}", "packages/a.js": "", "services/api/x.js": "", "services/worker/x.js": ""}
    services = found(files)
    assert {name: (each.source, each.dockerfile) for name, each in services.items()} == {
        "api": (".", "services/api/Dockerfile"),
        "worker": (".", "services/worker/Dockerfile"),
    }


@pytest.mark.parametrize(
    ("path", "copies", "others", "source", "name"),
    [
        ("api/Dockerfile", "COPY . .", ["api/x"], "api", "api"),
        ("api/docker/Dockerfile", "COPY . .", ["api/x"], "api", "api"),
        ("docker/api.Dockerfile", "COPY . .", ["x"], ".", "api"),
        ("Dockerfile.api", "COPY *.py /", ["x.py"], ".", "api"),
        ("docker/web/Dockerfile", "COPY src/*.js /", ["src/x.js"], ".", "web"),
        ("tools/Dockerfile", "RUN true", [], "tools", "tools"),
    ],
)
def test_the_context_is_the_nearest_folder_that_has_what_is_copied(
    path: str, copies: str, others: list[str], source: str, name: str
) -> None:
    services = found({path: f"FROM scratch\n{copies}\n"} | dict.fromkeys(others, ""))
    assert [(each.name, each.source, each.path) for each in services.values()] == [(name, source, path)]


def test_a_context_that_lacks_something_is_a_person_s_to_decide() -> None:
    (api,) = found({"api/Dockerfile": "FROM scratch\nCOPY dist /\nCOPY x /", "api/x": ""}).values()
    assert api.source == "api"
    assert "source" in api.decide[0]


def test_dockerfiles_that_are_not_for_production_are_only_told() -> None:
    files = dict.fromkeys(("Dockerfile", "Dockerfile.dev", "web/Dockerfile", "web/Dockerfile.prod"), "FROM scratch\n")
    files |= {"tests/Dockerfile": "", ".devcontainer/Dockerfile": "", "node_modules/x/Dockerfile": ""}
    said = scan(files, files.__getitem__)
    assert [each.path for each in said.services] == ["Dockerfile", "web/Dockerfile"]
    assert said.notes == ("Dockerfile.dev is here too.", "web/Dockerfile.prod is here too.")
    alone = {"Dockerfile.dev": "FROM scratch\n"}
    assert [each.path for each in scan(alone, alone.__getitem__).services] == ["Dockerfile.dev"]


def test_a_compose_file_says_more_than_dockerfiles_do() -> None:
    files = {
        "compose.yml": "services: {front_end: {build: web, depends_on: [api]}, api: {build: api}, x: {build: x}}",
        "web/Dockerfile": "FROM scratch\nEXPOSE 3000",
        "api/Dockerfile": "FROM scratch\nARG KEY_ID",
        "other/Dockerfile": "FROM scratch",
    }
    said = named(scan(files, files.__getitem__), "shop")
    web, api = said.services
    assert (web.name, web.port, web.depends_on) == ("front-end", 3000, ("api",))
    assert "KEY_ID" in api.decide[-1]
    assert said.notes == ("x: x/Dockerfile is not here.", "other/Dockerfile is here too.")


def test_folders_that_buildpacks_build_are_found_where_no_dockerfile_is() -> None:
    files = dict.fromkeys(["web/package.json", "web/index.js", "api/requirements.txt", "api/main.py", "lib/go.mod"], "")
    assert {name: each.source for name, each in found(files).items()} == {"api": "api", "web": "web"}
    assert not found({**files, "Dockerfile": "FROM scratch"}).keys() & {"api"}


def test_a_folder_that_buildpacks_build_is_found_beside_dockerfiles_with_its_migration() -> None:
    procfile = "web: gunicorn app\nmigrate: python manage.py migrate\nsetup: sh x\n"
    files = {"client/Dockerfile": "FROM scratch", "server/requirements.txt": "", "server/Procfile": procfile}
    services = found(files)
    assert list(services) == ["client", "server"]
    assert services["server"].migrations == ("migrate",)
    assert "setup" in services["server"].decide[-1]
    assert list(found({**files, "Dockerfile": "FROM scratch"})) == ["web", "client"]


def test_names_are_legal_short_and_each_only_once() -> None:
    long = "the-service-with-a-name-that-is-far-too-long"
    files = {
        f"{folder}/Dockerfile": "FROM scratch" for folder in ("a/API", "b/api", "c/9_api", f"x/{long}", f"y/{long}")
    }
    services = found(files, "my-shop")
    assert len(services) == 5
    assert list(services)[:3] == ["api", "api-2", "api-3"]
    assert all(len(f"my-shop-{name}") <= 38 for name in services)


def test_the_app_makes_room_for_the_names_of_its_services() -> None:
    said = scan(["recommendationservice/Dockerfile"], lambda path: "FROM scratch")
    assert app_name("microservices-demo", said) == "microservices-de"
    assert app_name("9 Lives!", said) == "lives"
    assert app_name("...", said) == "app"


COMPOSE = """services:
  web: {build: ., ports: ["5000:5000"], command: flask run}
  worker: {build: ., command: celery worker}
  admin: {build: ., command: serve --port 9000}
  alone: {build: alone}
  plain: {build: plain}
"""


def test_what_compose_gives_no_port_is_a_worker_pool_unless_its_command_or_dockerfile_tells_of_one() -> None:
    files = {
        "compose.yaml": COMPOSE,
        "Dockerfile": 'FROM python\nCMD ["gunicorn", "--bind=:8080", "main:app"]',
        "alone/Dockerfile": "FROM scratch\nENTRYPOINT work",
        "plain/Dockerfile": "FROM node\nCMD node index.js --port=$PORT",
    }
    services = found(files)
    assert {name for name, each in services.items() if each.works is not None} == {"worker", "alone"}
    assert services["worker"].works == ("celery", "worker")
    assert services["web"].port == 8080  # which the Dockerfile's own command listens on, and not that of compose
    assert services["admin"].port == 9000
    text = write_manifest(named(scan(files, files.__getitem__), "shop"), "shop", "acme-shop", "europe-west1")
    judged = judge(text)
    manifest = judged.manifest
    assert manifest, judged.faults
    assert set(manifest.services) == {"web", "admin", "plain"}
    assert (manifest.worker_pools["worker"].service, manifest.worker_pools["alone"].source) == ("web", "alone")


@pytest.mark.parametrize(("path", "said"), [("/up", "/up"), ("/healthz", ""), ("/", "")])
def test_a_health_check_s_path_is_taken_over_unless_google_keeps_it(path: str, said: str) -> None:
    text = f"FROM a\nHEALTHCHECK CMD curl -f http://localhost:8080{path}"
    (web,) = found({"Dockerfile": text}).values()
    assert (web.health, len(web.decide)) == (said, path == "/healthz")


def test_what_others_need_is_a_service_and_nothing_depends_on_a_worker_pool() -> None:
    compose = "services:\n  web: {build: a, ports: [80], depends_on: [api]}\n  api: {build: a}\n  work: {build: a}\n"
    services = found({"compose.yaml": compose, "a/Dockerfile": "FROM a"})
    assert {name: each.works for name, each in services.items()} == {"web": None, "api": None, "work": ()}
    work = Found("work", "a", "Dockerfile", depends_on=("web",), works=())
    web = Found("web", "a", "Dockerfile", depends_on=("work",))
    assert [each.depends_on for each in named(Proposal((web, work)), "shop").services] == [(), ()]


def test_an_address_that_only_holds_in_compose_becomes_the_url_of_the_service() -> None:
    compose = """services:
  web:
    build: web
    ports: [80]
    environment: {ORDERS: "http://orders-api:5000/", SELF: "http://web", PATHS: "http://orders-api/v1"}
  orders-api: {build: api, ports: [5000]}
"""
    files = {"compose.yaml": compose, "web/Dockerfile": "FROM a", "api/Dockerfile": "FROM a"}
    web = found(files)["web"]
    assert (web.urls, web.env) == ({"ORDERS": "orders-api"}, {"SELF": "http://web"})
    assert web.decide == ("env, addresses that only hold in compose: PATHS.",)
    there = compose.replace("ports: [5000]}", 'ports: [5000], environment: {FRONT: "http://web"}}')
    circle = {**files, "compose.yaml": there}
    assert [each.urls for each in found(circle).values()] == [{}, {}]
    assert found(circle)["orders-api"].decide == ("env, addresses that only hold in compose: FRONT.",)


@pytest.mark.parametrize(
    ("lines", "source"),
    [
        ("COPY . .\nWORKDIR /app/services/api\n", "."),
        ("COPY ./ ./\nRUN npm --prefix services/api run build\n", "."),
        ("COPY . .\nWORKDIR /app/other-services/api-v2\n", "services/api"),
        ("COPY . .\n# built from services/api\n", "services/api"),
    ],
)
def test_a_dockerfile_that_copies_all_and_speaks_of_its_own_folder_is_built_from_the_root(
    lines: str, source: str
) -> None:
    files = {"services/api/Dockerfile": f"FROM node\n{lines}", "services/api/main.js": "", "package.json": "{}"}
    (api,) = found(files).values()
    assert (api.source, bool(api.decide)) == (source, source == ".")
