"""Terraform in a folder of its own: the module copied into it, its state in a bucket, each command under a guard.

The folder outlives the run that has made it: what a dead run left in it is what the next one goes on with. A saved plan
and `errored.tfstate` hold keys in clear: nobody else may read the folder, and both go as soon as they are done with.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.terraform.bundle import CONFIG, Bundle, lay_out
from infra.terraform.events import Event, Kind, parse
from infra.terraform.guard import kill_group
from infra.terraform.plan import Plan, Resource, read_outputs, read_plan, read_state
from infra.terraform.supervisor import Ended, OnLine, Order, run

BINARY, RC = "terraform", "terraform.rc"
# Without a refresh, for which terraform would first plan what the variables say, as if it were to be made.
DESTROY = ("-destroy", "-refresh=false")
LOGS_KEPT = 50
# https://developer.hashicorp.com/terraform/language/files/override
NOWHERE, EMPTY = "slipway_override.tf.json", "empty.tfstate"
QUICK_S = 120.0  # what only reads the state
PLAN, ERRORED, VARIABLES, IMPORTS = "plan.bin", "errored.tfstate", "terraform.tfvars.json", "slipway-imports.tf.json"
# https://github.com/hashicorp/terraform/blob/v1.11.4/internal/states/statemgr/migrate.go
_OUTDATED = re.compile(r"cannot import state with|cannot overwrite existing state")
# What would change what is run, or write secrets into the log.
_UNWANTED = re.compile(r"TF_(?:LOG.*|CLI_ARGS.*|VAR_.*|WORKSPACE|INPUT|DATA_DIR)")


@dataclass(frozen=True, slots=True)
class Limits:
    """How long commands may take, and what is under way once they are to end."""

    init_s: float = 300.0
    plan_s: float = 600.0
    apply_s: float = 2400.0
    grace_s: float = 20.0


class TerraformFailed(Exception):
    """A command did not do what it was to do; `errors` are what it said."""

    def __init__(self, name: str, ended: Ended, errors: Sequence[Event] = ()) -> None:
        super().__init__(name, ended, tuple(errors))
        self.name, self.ended, self.errors = name, ended, tuple(errors)

    def __str__(self) -> str:
        said = "; ".join(": ".join(filter(None, (each.message, each.detail))) for each in self.errors)
        return f"terraform {self.name}: {said or f'ended with {self.ended.code}'}"


def _unheard(_: str) -> None:
    """What is said on the way does not matter."""


@dataclass(frozen=True, slots=True)
class Work:
    """One configuration with one state."""

    folder: Path
    bundle: Bundle
    limits: Limits = Limits()
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)  # of the processes, besides our own

    @property
    def module(self) -> Path:
        return self.folder / "module"

    def prepare(self) -> None:
        """The module anew, with its lock file; what a dead run left beside it stays."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        for old in (*self.module.glob("*.tf"), *self.module.glob("*.tf.json")):
            old.unlink()
        lay_out(self.bundle, self.module)

    def set_variables(self, values: Mapping[str, Any]) -> None:
        """The module's; plan and apply need them."""
        self._write(self.module / VARIABLES, values)

    def set_imports(self, ids: Mapping[str, str], moved: Mapping[str, str]) -> None:
        """Import blocks, by address, and moved ones, by the address of before."""
        blocks = {
            "import": [{"to": address, "id": name} for address, name in sorted(ids.items())],
            "moved": [{"from": before, "to": now} for before, now in sorted(moved.items())],
        }
        path = self.module / IMPORTS
        path.unlink(missing_ok=True)
        if ids or moved:
            self._write(path, {kind: said for kind, said in blocks.items() if said})

    async def keep(self, address: str) -> None:
        """What was made and not read back is not made anew: the next plan reads it. Raises TerraformFailed."""
        await self._done("untaint", ["untaint", "-no-color", "-allow-missing", address], self.limits.init_s, _unheard)

    async def init(self, bucket: str, prefix: str, on_line: OnLine) -> None:
        """Raises TerraformFailed. Asks nobody for providers where there is a mirror.

        bucket: '' where there is none yet: then the state is empty, and nothing can be kept in it.
        """
        shutil.rmtree(self.folder / "data", ignore_errors=True)  # links into a mirror that may have moved
        where = [f"-backend-config=bucket={bucket}", f"-backend-config=prefix={prefix}"] if bucket else []
        if not bucket:
            self._write(self.module / NOWHERE, {"terraform": {"backend": {"local": {"path": EMPTY}}}})
        options = [*where, *self.bundle.init_arguments]
        await self._done("init", ["init", "-json", "-input=false", "-no-color", *options], self.limits.init_s, on_line)

    async def plan(self, on_line: OnLine, *, replace: Sequence[str] = (), destroy: bool = False) -> Plan:
        """Saves the plan. Raises TerraformFailed, also where it is only half a plan.

        It takes no lock, so that one that is killed leaves none: if the state is another by then, apply refuses it.
        """
        more = [*(f"-replace={address}" for address in replace), *(DESTROY if destroy else [])]
        command = ["plan", "-json", "-input=false", "-no-color", "-lock=false", f"-out={PLAN}", *more]
        (self.module / PLAN).unlink(missing_ok=True)
        await self._done("plan", command, self.limits.plan_s, on_line)
        return read_plan(await self._read("show", PLAN))

    async def apply(self, on_line: OnLine) -> Ended:
        """Applies the saved plan, and nothing else. How it went is for the caller to judge."""
        command = ["apply", "-json", "-input=false", "-no-color", PLAN]
        return await self._run("apply", command, self.limits.apply_s, on_line, spent=[str(self.module / PLAN)])

    def drop_plan(self) -> None:
        """A plan holds keys in clear."""
        (self.module / PLAN).unlink(missing_ok=True)

    def mask_logs(self, mask: Callable[[str], str], since: datetime) -> None:
        """A provider's error may say what is secret. Only once nothing is written any more, and all of it is told."""
        for log in (self.folder / "logs").glob("*.jsonl"):
            if log.stat().st_mtime >= since.timestamp():
                said = log.read_text(errors="replace")
                if (masked := mask(said)) != said:
                    log.write_text(masked)

    @property
    def errored(self) -> Path:
        """The state that a run could not save in its bucket."""
        return self.module / ERRORED

    async def push_errored(self, on_line: OnLine) -> bool:
        """Saves it now. False: what is there by now is newer, or another, and this one says nothing any more.

        It is deleted in both cases, for it holds keys in clear. Raises TerraformFailed where it cannot be saved yet:
        then it is kept.
        """
        try:
            await self._done("state push", ["state", "push", "-no-color", ERRORED], self.limits.init_s, on_line)
            saved = True
        except TerraformFailed as error:
            if not _OUTDATED.search(str(error)):
                raise
            saved = False
        self.errored.unlink()
        return saved

    async def state(self) -> dict[str, Resource]:
        """By address. Raises TerraformFailed."""
        return read_state(await self._read("show"))

    async def outputs(self) -> dict[str, Any]:
        """Raises TerraformFailed."""
        return read_outputs(await self._read("output"))

    async def _done(self, name: str, command: Sequence[str], limit_s: float, on_line: OnLine) -> None:
        errors: list[Event] = []

        def heard(line: str) -> None:
            event = parse(line)
            if event.is_error or (event.kind is Kind.TEXT and line.startswith(("Error", "Failed"))):
                errors.append(event)
            on_line(line)

        ended = await self._run(name, command, limit_s, heard)
        if not ended.ok:
            raise TerraformFailed(name, ended, errors)

    async def _run(
        self, name: str, command: Sequence[str], limit_s: float, on_line: OnLine, spent: Sequence[str] = ()
    ) -> Ended:
        log = self.folder / "logs" / f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-{name.replace(' ', '-')}.jsonl"
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for old in sorted(log.parent.iterdir())[:-LOGS_KEPT]:
            old.unlink()
        order = Order(name, [BINARY, f"-chdir={self.module}", *command], log, limit_s, self.limits.grace_s, spent=spent)
        return await run(self.folder, order, self._env(), on_line)

    async def _read(self, command: str, *arguments: str) -> Any:
        """The answer holds keys in clear: it is never written down."""
        process = await asyncio.create_subprocess_exec(
            BINARY,
            f"-chdir={self.module}",
            command,
            "-json",
            "-no-color",
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._env(),
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(QUICK_S):
                said, wrong = await process.communicate()
        finally:
            if process.returncode is None:
                kill_group(process.pid)  # its providers, too, which would wait for ever
        if process.returncode:
            raise TerraformFailed(command, Ended(process.returncode), [Event(Kind.TEXT, wrong.decode().strip())])
        return json.loads(said)

    def _env(self) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not _UNWANTED.fullmatch(name)}
        config = self.module / RC if self.bundle.mirror else self.bundle.config
        return {
            **own,
            **self.variables,
            **({CONFIG: str(config)} if config else {}),
            "TF_IN_AUTOMATION": "1",
            "CHECKPOINT_DISABLE": "1",
            "TF_DATA_DIR": str(self.folder / "data"),
        }

    @staticmethod
    def _write(path: Path, value: Mapping[str, Any]) -> None:
        path.touch(mode=0o600)
        path.write_text(json.dumps(value, indent=2, sort_keys=True))
