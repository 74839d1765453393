"""What stands on several machines elsewhere, as processes of this one: two Prefect API servers behind one address.

PostgreSQL holds the state, Redis what servers tell each other, HAProxy the address. Their settings are those of
deployments/compose/, where the same is described for containers.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from signal import SIGINT

from dotenv import dotenv_values

from cli.processes import ROOT, answers, free_port, listens, log_of, python, run, start, until
from cli.stack import Size, leading_to
from tasks.failures.cause import Cause
from tasks.failures.errors import StackFailed
from tasks.orchestration.gather import all_of

COMPOSE = ROOT / "deployments" / "compose"
SEVERAL = "two API servers, PostgreSQL, Redis, HAProxy and four workers"
PROGRAMS = {"initdb": "postgresql", "postgres": "postgresql", "redis-server": "redis-server", "haproxy": "haproxy"}
API_SERVERS = ("api-1", "api-2")
WORKERS = ("worker-1", "worker-2", "worker-3", "worker-4")
DATABASE = "postgres"  # it is there from the start
RUNS_AT_ONCE = 4  # of each worker
SERVING = ("server", "start", "--no-services", "--host", "127.0.0.1", "--port")
# PostgreSQL does not run as root. This user it is then; where the folder is may be closed to it.
USER, AS_USER = 65534, ("setpriv", "--clear-groups", "--inh-caps=+dac_override", "--ambient-caps=+dac_override")


def several() -> Size:
    """StackFailed where a program is missing that it takes."""
    refuse_missing(program)
    if not importlib.util.find_spec("prefect_redis"):
        raise StackFailed(
            "The Python package prefect-redis is not installed here.",
            "install what requirements.lock names: make demo does.",
            Cause.NOT_FOUND,
        )
    return Size(start_servers, WORKERS, RUNS_AT_ONCE)


def refuse_missing(find: Callable[[str], str | None]) -> None:
    packages = sorted({package for name, package in PROGRAMS.items() if not find(name)})
    if packages:
        raise StackFailed(
            f"Not installed here: {', '.join(packages)}.",
            f"install what is missing: sudo apt-get install --no-install-recommends {' '.join(packages)}",
            Cause.NOT_FOUND,
        )


def program(name: str) -> str | None:
    """Where a program is; Debian keeps PostgreSQL's out of PATH, and HAProxy out of that of users."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(float(path.parent.name)))
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *map(str, reversed(versions)), "/usr/sbin"])
    return shutil.which(name, path=path)


async def start_servers(stack: AsyncExitStack, folder: Path, port: int) -> dict[str, str]:
    """All that keeps track of runs, ending with `stack`; answers what leads to it."""
    passwords = [_password(folder, name) for name in ("postgres", "redis")]
    postgres, redis = await all_of(
        [_postgres(stack, folder, passwords[0]), _redis(stack, folder, passwords[1])], stop_on_failure=True
    )
    client = leading_to(folder, port)
    environment = {**os.environ, **client, **settings(postgres, redis)}
    await run(folder, "migration", python("-m", "prefect", "server", "database", "upgrade", "-y"), environment)
    services = python("-m", "prefect", "server", "services", "start")
    await start(stack, folder, "services", services, environment)
    first, second = API_SERVERS
    servers = [
        _api_server(stack, folder, first, environment),
        # The first one notes Prefect's types of blocks. Two at once wait for each other's rows until they give up.
        _api_server(stack, folder, second, {**environment, "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false"}),
    ]
    addresses = await all_of(servers, stop_on_failure=True)
    await _front(stack, folder, port, addresses)
    return client


def settings(postgres: str, redis: str) -> dict[str, str]:
    """Of each server: those of server.env, and where PostgreSQL and Redis are."""
    said = dotenv_values(COMPOSE / "server.env", interpolate=False)
    return {
        **{name: value for name, value in said.items() if value is not None},
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": postgres,
        "PREFECT_REDIS_MESSAGING_URL": redis,
        "PREFECT_REDIS_WORKER_CLEANUP_QUEUE_URL": redis,
        "PREFECT_SERVER_DOCKET_URL": redis,
    }


def _password(folder: Path, name: str) -> str:
    """The same at every start: it is in the database."""
    kept = folder / "passwords" / name
    kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not kept.exists():
        new = kept.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(secrets.token_urlsafe(24))
        new.replace(kept)  # whole or not at all
    return kept.read_text()


async def _postgres(stack: AsyncExitStack, folder: Path, password: str) -> str:
    data, port = folder / "postgres", free_port()
    as_user = [*AS_USER, f"--reuid={USER}", f"--regid={USER}"] if os.geteuid() == 0 else []
    if not data.exists():
        await _make_cluster(folder, data, as_user)
    options = ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-p", str(port)]
    command = [*as_user, str(program("postgres")), "-D", str(data), *options]
    process = await start(stack, folder, "postgres", command, os.environ, ends_by=SIGINT)
    await until(lambda: _is_ready(data), process, "PostgreSQL", log_of(folder, "postgres"))
    return f"postgresql+asyncpg://prefect:{password}@127.0.0.1:{port}/{DATABASE}"


async def _make_cluster(folder: Path, data: Path, as_user: Sequence[str]) -> None:
    """In a folder that gets its name when all is there."""
    new = data.with_suffix(".new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700)
    if as_user:
        os.chown(new, USER, USER)
    password = folder / "passwords" / "postgres"
    said = ["--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--username=prefect", f"--pwfile={password}"]
    await run(folder, "initdb", [*as_user, str(program("initdb")), f"--pgdata={new}", *said], os.environ)
    new.rename(data)


def _is_ready(data: Path) -> bool:
    """As pg_ctl looks: the eighth line of the file says so."""
    try:
        return (data / "postmaster.pid").read_text().splitlines()[7].strip() == "ready"
    except (FileNotFoundError, IndexError):
        return False


async def _redis(stack: AsyncExitStack, folder: Path, password: str) -> str:
    data, port = folder / "redis", free_port()
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    said = {"bind": "127.0.0.1", "port": port, "dir": data, "requirepass": password, "appendonly": "yes", "save": '""'}
    file = data / "redis.conf"
    file.touch(mode=0o600)
    file.write_text("".join(f"{name} {value}\n" for name, value in said.items()))
    process = await start(stack, folder, "redis", [str(program("redis-server")), str(file)], os.environ)
    await until(lambda: listens(port), process, "Redis", log_of(folder, "redis"))
    return f"redis://:{password}@127.0.0.1:{port}/0"


async def _api_server(stack: AsyncExitStack, folder: Path, name: str, environment: Mapping[str, str]) -> str:
    port = free_port()
    process = await start(stack, folder, name, python("-m", "prefect", *SERVING, str(port)), environment)
    url = f"http://127.0.0.1:{port}/api/ready"
    await until(lambda: answers(url), process, f"the Prefect API server {name}", log_of(folder, name))
    return f"127.0.0.1:{port}"


async def _front(stack: AsyncExitStack, folder: Path, port: int, servers: Sequence[str]) -> None:
    """Where clients ask; who they ask they need not know."""
    said = {"FRONT": f"127.0.0.1:{port}", "API_1": servers[0], "API_2": servers[1]}
    command = [str(program("haproxy")), "-db", "-f", str(COMPOSE / "haproxy.cfg")]
    process = await start(stack, folder, "haproxy", command, {**os.environ, **said})
    url = f"http://127.0.0.1:{port}/api/ready"
    await until(lambda: answers(url), process, "HAProxy", log_of(folder, "haproxy"))
