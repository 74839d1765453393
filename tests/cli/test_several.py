"""What the servers of `slipway up --scale` and of the composition for containers are told."""

from __future__ import annotations

import os
import re
import subprocess

import pytest
import yaml
from prefect.settings import Settings
from prefect.settings.base import PrefectBaseSettings

from cli.several import COMPOSE, program, refuse_missing, settings
from tasks.failures.errors import StackFailed

COMPOSITION = yaml.safe_load((COMPOSE / "compose.yaml").read_text())
POSTGRES, REDIS = "postgresql+asyncpg://prefect:p@127.0.0.1:1/postgres", "redis://:r@127.0.0.1:2/0"


def variables_of(model: type[PrefectBaseSettings]) -> set[str]:
    """The environment variables that Prefect reads, by its own models."""
    prefix, found = model.model_config.get("env_prefix", ""), set[str]()
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, PrefectBaseSettings):
            found |= variables_of(kind)
        else:
            found.add(f"{prefix}{name}".upper())
    return found


def test_prefect_knows_every_setting_of_several_servers() -> None:
    """It ignores what it does not know, and then each server would keep leases and events for itself."""
    said = {name for name in settings(POSTGRES, REDIS) if not name.startswith("PREFECT_REDIS_")}
    assert said - variables_of(Settings) == set()


def test_every_part_that_is_kept_in_redis_knows_the_way() -> None:
    """Each has settings of its own, and looks on this machine where they do not say."""
    said = settings(POSTGRES, REDIS)
    assert {name for name, value in said.items() if value == REDIS} == {
        "PREFECT_REDIS_MESSAGING_URL",  # prefect_redis.messaging, .ordering and .lease_storage
        "PREFECT_REDIS_WORKER_CLEANUP_QUEUE_URL",  # prefect_redis.cleanup_queue
        "PREFECT_SERVER_DOCKET_URL",
    }
    parts = {value for value in said.values() if value.startswith("prefect_redis.")}
    assert parts == {f"prefect_redis.{each}" for each in ("messaging", "ordering", "lease_storage", "cleanup_queue")}


def test_containers_are_told_the_same_as_processes() -> None:
    for name in ("api-1", "api-2", "services", "migration"):
        server = COMPOSITION["services"][name]
        assert server["env_file"] == ["server.env"]
        assert set(settings(POSTGRES, REDIS)) - _named_in_file() <= set(server["environment"])


def _named_in_file() -> set[str]:
    return set(re.findall(r"^(\w+)=", (COMPOSE / "server.env").read_text(), re.MULTILINE))


def test_every_variable_of_the_composition_is_in_the_example() -> None:
    asked = set(re.findall(r"\$\{(\w+)", (COMPOSE / "compose.yaml").read_text()))
    assert asked == set(re.findall(r"^(\w+)=", (COMPOSE / "example.env").read_text(), re.MULTILINE))


@pytest.mark.skipif(not program("haproxy"), reason="haproxy is not installed (apt-get install haproxy)")
def test_haproxy_takes_its_configuration_without_a_warning() -> None:
    addresses = {"FRONT": "127.0.0.1:18080", "API_1": "127.0.0.1:18081", "API_2": "127.0.0.1:18082"}
    command = [str(program("haproxy")), "-c", "-f", str(COMPOSE / "haproxy.cfg")]
    done = subprocess.run(command, env=os.environ | addresses, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr.strip()) == (0, "")


def test_what_is_not_installed_is_named_with_the_command_that_installs_it() -> None:
    with pytest.raises(StackFailed, match="postgresql, redis-server") as refused:
        refuse_missing(lambda name: "/usr/sbin/haproxy" if name == "haproxy" else None)
    assert "apt-get install --no-install-recommends postgresql redis-server" in refused.value.remedy
