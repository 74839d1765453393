"""The metadata server of a machine that runs as a service account, as Compute Engine, GKE and Cloud Run have it.

https://cloud.google.com/compute/docs/metadata/querying-metadata: a request says `Metadata-Flavor: Google`, so that no
page in a browser and no URL that a server is talked into fetching gets a token; one that a proxy has passed on is
refused. Cloud Run opens one in each instance, the admin port one for an account at an address for GCE_METADATA_HOST.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from infra.emulator.iam.accounts import Accounts
from infra.emulator.iam.identity import Identity
from infra.emulator.iam.keys import LIFETIME_S
from infra.emulator.iam.oauth import SCOPE
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import RpcError
from infra.emulator.projects.projects import Projects

FLAVOR = {"Metadata-Flavor": "Google", "Server": "Metadata Server for VM"}
ROOT = "/computeMetadata/v1/"
ACCOUNTS = "instance/service-accounts/"
ZONE = "europe-west1-b"


class Refused(Exception):
    """With its HTTP status."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status = status


class Metadata:
    def __init__(self, cloud: Cloud, account: str, zone: str = ZONE) -> None:
        """Raises ValueError when there is no such account."""
        try:
            known = cloud.get(Accounts).find(f"projects/-/serviceAccounts/{account}")
        except RpcError as error:
            raise ValueError(f"there is no service account {account}") from error
        self._zone = zone
        self._email, self._identity = account, cloud.get(Identity)
        self._project = cloud.get(Projects).find(f"projects/{known.project_id}")

    async def handle(self, request: web.Request) -> web.StreamResponse:
        try:
            said = self._answer(request)
        except Refused as refused:
            return web.Response(status=refused.status, text=str(refused), headers=FLAVOR)
        if isinstance(said, str):
            return web.Response(text=said, headers=FLAVOR, content_type="application/text")
        return web.json_response(said, headers=FLAVOR)

    def _answer(self, request: web.Request) -> Any:
        if request.method != "GET":
            raise Refused(405, "Method Not Allowed")
        if request.path == "/":  # by which clients find out whether there is one
            return "computeMetadata/\n"
        if request.headers.get("Metadata-Flavor") != "Google":
            raise Refused(403, "Missing Metadata-Flavor:Google header.")
        if "X-Forwarded-For" in request.headers:
            raise Refused(403, "Requests with an X-Forwarded-For header are refused.")
        path = request.path.removeprefix(ROOT)
        if path == request.path:
            raise Refused(404, "Not Found")
        return self._machine(path) if not path.startswith(ACCOUNTS) else self._account(path, request)

    def _machine(self, path: str) -> str:
        values: dict[str, str] = {
            "project/project-id": self._project.id,
            "project/numeric-project-id": str(self._project.number),
            "instance/zone": f"projects/{self._project.number}/zones/{self._zone}",
            "instance/region": f"projects/{self._project.number}/regions/{self._zone.rpartition('-')[0]}",
            "instance/id": self._instance["instance_id"],
            "instance/name": self._instance["instance_name"],
            "universe/universe-domain": "googleapis.com",
        }
        if path not in values:
            raise Refused(404, "Not Found")
        return values[path]

    def _account(self, path: str, request: web.Request) -> Any:
        name, _, what = path.removeprefix(ACCOUNTS).partition("/")
        if not name:
            return f"default/\n{self._email}/\n"
        if name not in ("default", self._email):
            raise Refused(404, "Not Found")
        answers: dict[str, Callable[[web.Request], Any]] = {
            "": self._about,
            "email": lambda _: self._email,
            "aliases": lambda _: "default\n",
            "scopes": lambda _: f"{SCOPE}\n",
            "token": self._token,
            "identity": self._id_token,
        }
        if what not in answers:
            raise Refused(404, "Not Found")
        return answers[what](request)

    def _about(self, request: web.Request) -> Any:
        if request.query.get("recursive", "").lower() != "true":
            return "aliases\nemail\nidentity\nscopes\ntoken\n"
        return {"aliases": ["default"], "email": self._email, "scopes": [SCOPE]}

    def _token(self, _: web.Request) -> dict[str, Any]:
        token = self._identity.access_token(self._email)
        return {"access_token": token, "expires_in": LIFETIME_S, "token_type": "Bearer"}

    def _id_token(self, request: web.Request) -> str:
        """Only in full does it tell the e-mail and the machine.

        https://cloud.google.com/compute/docs/instances/verifying-instance-identity
        """
        audience, form = request.query.get("audience", ""), request.query.get("format", "standard")
        if not audience:
            raise Refused(400, "non-empty audience parameter required")
        if form not in ("standard", "full"):
            raise Refused(400, "invalid format parameter, must be either 'standard' or 'full'")
        full = form == "full"
        more = {"google": {"compute_engine": self._instance}} if full else {}
        return self._identity.id_tokens.issue(self._email, audience, full, more)

    @property
    def _instance(self) -> dict[str, Any]:
        return {
            "instance_id": "4711",
            "instance_name": "worker",
            "project_id": self._project.id,
            "project_number": self._project.number,
            "zone": self._zone,
        }
