"""Where a run works: the folder of its Terraform, the bucket of its state, and what is wanted."""

from __future__ import annotations

import hashlib
import os
import re
import socket
from dataclasses import dataclass, replace
from pathlib import Path

from infra.terraform.bundle import Bundle
from infra.terraform.work import Limits, Work
from tasks.manifest.provision import ProvisionTimeouts
from tasks.model import Request
from tasks.names import provisioned
from tasks.orchestration.credentials import credentials_variables
from tasks.provision.wanted import Wanted

REASON = "CLOUDSDK_CORE_REQUEST_REASON"  # what the provider sends as X-Goog-Request-Reason
STATE_HOME = "SLIPWAY_STATE_HOME"  # where what must outlive a run is kept on this machine


@dataclass(frozen=True, slots=True)
class Site:
    """Of one environment. The folder is the same for every run on a machine."""

    request: Request
    wanted: Wanted
    work: Work
    is_new: bool = False  # there is no bucket yet, and a run that only plans makes none: no state, no record, no lock
    put_off: bool = False  # what the gateway is to call is not there yet

    @property
    def bucket(self) -> str:
        return self.request.settings.bucket

    @property
    def prefix(self) -> str:
        return provisioned.folder(self.request.app, self.request.environment)

    @property
    def lock(self) -> str:
        """The object that Terraform has while it works on the state."""
        return provisioned.state_lock(self.request.app, self.request.environment)

    def with_generation(self, generation: int) -> Site:
        return replace(self, wanted=self.wanted.with_generation(generation))

    def with_gateway_of(self, openapi: bytes) -> Site:
        """With the gateway that is there: it goes on serving this file."""
        assert self.request.settings.provision is not None
        return replace(self, wanted=replace(self.wanted, provision=self.request.settings.provision, openapi=openapi))


async def work_of(request: Request, timeouts: ProvisionTimeouts, bundle: Bundle) -> Work:
    """The same for every run of this environment on this machine. Its calls carry the run's id, as ours do."""
    limits = Limits(timeouts.init_s, timeouts.plan_s, timeouts.apply_s, timeouts.grace_s)
    place = f"{request.settings.bucket}/{request.app}/{request.environment}"
    name = re.sub(r"[^a-z0-9]+", "-", f"{request.app}-{request.environment}")
    digest = hashlib.sha256(place.encode()).hexdigest()[:8]
    variables = {REASON: f"slipway/{request.run_id}", **await credentials_variables()}
    return Work(state_home() / "provision" / f"{name}-{digest}", bundle, limits, variables)


def state_home() -> Path:
    """As https://specifications.freedesktop.org/basedir-spec has it, unless $SLIPWAY_STATE_HOME says otherwise."""
    if own := os.environ.get(STATE_HOME):
        return Path(own)
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "slipway"


def host() -> str:
    """As Terraform calls this machine in its lock."""
    return socket.gethostname()
