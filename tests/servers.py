"""Prefect servers for tests. Their databases are copies of one, as to make one takes longer than all the rest."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager, AsyncExitStack
from pathlib import Path

import pytest
from filelock import FileLock
from prefect.settings import PREFECT_API_SSL_CERT_FILE, PREFECT_API_URL, Settings, temporary_settings

from cli.stack import start_server

DATABASE = Path("prefect") / "prefect.db"


async def made_once(factory: pytest.TempPathFactory) -> Path:
    """The database of a server that has just been set up; one for all processes of this run of the tests."""
    base = factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with FileLock(shared / "prefect.lock"):
        made = shared / "prefect.db"
        if not made.exists():
            async with AsyncExitStack() as stack:
                await start_server(stack, shared / "first-server")
            shutil.move(shared / "first-server" / DATABASE, made)
    return made


async def prefect_server_in(stack: AsyncExitStack, folder: Path, database: Path) -> dict[str, str]:
    """A server that ends with `stack` and begins with a copy of the database; the variables that lead to it."""
    place = folder / DATABASE
    place.parent.mkdir(mode=0o700, parents=True)
    shutil.copy(database, place)
    return await start_server(stack, folder)


def used_by_prefect(server: Mapping[str, str]) -> AbstractContextManager[Settings]:
    """Prefect's clients in this process ask that server; `server` holds the variables that lead to it."""
    names = (PREFECT_API_URL, PREFECT_API_SSL_CERT_FILE)
    return temporary_settings({name: server[name.name] for name in names})
