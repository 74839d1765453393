"""Puts the emulator together: one cloud, four ports (proxy, gRPC, REST, plain) and the admin port."""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from infra.emulator.apigateway.names import HOSTS as GATEWAY_HOSTS
from infra.emulator.doors.admin import Admin
from infra.emulator.doors.grpc import serve_grpc
from infra.emulator.doors.metadata import Metadata
from infra.emulator.doors.passage import Passage
from infra.emulator.doors.proxy import Proxy
from infra.emulator.doors.rest import RestDoor
from infra.emulator.doors.tls import HOSTS, Certificates, certificates
from infra.emulator.iam.accounts import Accounts
from infra.emulator.iam.identity import Identity
from infra.emulator.iam.policies import Policies
from infra.emulator.kubernetes.clusters import DNS_HOSTS, NETWORK, Clusters, addresses
from infra.emulator.projects.projects import ORGANIZATION, Projects
from infra.emulator.run.networks import Networks
from infra.emulator.services import build
from infra.emulator.terraform.mirror import write_mirror

MAX_UPLOAD_BYTES = 4 << 30
GCLOUD_TOKEN_S = 365 * 24 * 3600.0  # gcloud cannot renew a token that it was given in a file
YOU = "you@example.com"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Settings:
    data: Path
    projects: Sequence[str] = ("slipway-demo",)
    profile: str = "brisk"
    proxy_port: int = 0  # 0: a free one
    admin_port: int = 0
    reach: Sequence[int] = ()  # ports of this machine that instances find on their own loopback, too


class Emulator:
    """`async with Emulator(settings) as emulator:`; `emulator.environment` then points clients at it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.cloud = build(settings.data, settings.profile)
        self._certificates = certificates(settings.data / "certs", (*HOSTS, *GATEWAY_HOSTS, *DNS_HOSTS))
        self._of_clusters = certificates(settings.data / "certs" / "clusters", addresses(), "Local Kubernetes")
        self.cloud.get(Clusters).authority = self._of_clusters.authority.read_bytes()
        self.environment: dict[str, str] = {}
        self.admin_url = ""  # without the password

    async def __aenter__(self) -> Emulator:
        async with AsyncExitStack() as stack:
            await self._start(stack)
            self._started = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._started.aclose()

    async def _start(self, stack: AsyncExitStack) -> None:
        """Opens every door; `stack` closes what was opened, the last one first."""
        stack.callback(self.cloud.store.close)
        stack.push_async_callback(self.cloud.background.stop)
        services = await stack.enter_async_context(AsyncExitStack())
        self._seed()
        proxy_port = await self._open_doors(stack)
        self.environment = self.cloud.environment = self._variables(proxy_port)
        self._machines = await stack.enter_async_context(AsyncExitStack())
        admin = Admin(self.cloud, lambda: self.environment, self._seed, self._machine)
        admin_port = await self._listen(stack, admin.handle, port=self.settings.admin_port)
        self.admin_url = f"http://127.0.0.1:{admin_port}"
        self._admin_with_password = admin.url(admin_port)
        for start in self.cloud.on_start:
            await start()
        for stop in reversed(self.cloud.on_stop):
            services.push_async_callback(stop)
        self.cloud.operations.fail_interrupted()
        stack.callback((self.settings.data / "emulator.json").unlink, missing_ok=True)
        self._announce()

    async def _open_doors(self, stack: AsyncExitStack) -> int:
        """The proxy's port, behind which all other doors are."""
        door = RestDoor(self.cloud)
        rest = await self._listen(stack, door.handle, tls=self._certificates)
        plain = self.cloud.http_port = await self._listen(stack, door.handle)
        leaf = self._certificates.leaf
        certificate, key = leaf.cert_chain_pems[0].bytes(), leaf.private_key_pem.bytes()
        grpc, grpc_port = serve_grpc(self.cloud, certificate, key, lambda peer: self._proxy.drop(peer))
        stack.push_async_callback(grpc.stop, grace=0)
        await grpc.start()
        clusters = await self._listen(stack, door.handle, tls=self._of_clusters)
        self._proxy = Proxy(grpc_port, rest, plain, {f"{NETWORK}.": clusters})
        stack.push_async_callback(self._proxy.stop)
        port = await self._proxy.start(self.settings.proxy_port)
        await self.cloud.get(Networks).offer(port, self._proxy.protocol, always=True)
        for each in self.settings.reach:
            passage = Passage(each)
            stack.push_async_callback(passage.stop)
            await self.cloud.get(Networks).offer(each, passage.protocol, always=True)
        return port

    async def _listen(
        self, stack: AsyncExitStack, handler: Handler, *, tls: Certificates | None = None, port: int = 0
    ) -> int:
        app = web.Application(client_max_size=MAX_UPLOAD_BYTES)
        app.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        context = tls.server_context() if tls else None
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context).start()
        return int(runner.addresses[0][1])

    async def _machine(self, account: str) -> str:
        """Where the metadata server of a machine listens that runs as this account: for GCE_METADATA_HOST."""
        port = await self._listen(self._machines, Metadata(self.cloud, account).handle)
        return f"127.0.0.1:{port}"

    def _seed(self) -> None:
        """One deployer owns every project, those of earlier starts too, and administers the organization.

        Each project has its default accounts.
        """
        deployer = f"deployer@{self.settings.projects[0]}.iam.gserviceaccount.com"
        projects, accounts, policies = self.cloud.get(Projects), self.cloud.get(Accounts), self.cloud.get(Policies)
        for project_id in self.settings.projects:
            accounts.seed(projects.create(project_id))
        for project in projects.all():
            policies.grant(f"projects/{project.id}", "roles/owner", f"serviceAccount:{deployer}")
            policies.grant(f"projects/{project.id}", "roles/owner", f"user:{YOU}")
        for member in (f"serviceAccount:{deployer}", f"user:{YOU}"):
            policies.grant(ORGANIZATION, "roles/resourcemanager.organizationAdmin", member)
        accounts.ensure(self.settings.projects[0], deployer, "Deployer")
        self._seed_key(deployer)
        self._seed_login(YOU)
        token = self.settings.data / "gcloud-token"
        token.touch(mode=0o600)
        token.write_text(self.cloud.get(Identity).access_token(YOU, GCLOUD_TOKEN_S))

    def _seed_key(self, deployer: str) -> None:
        """A key file of the deployer, which stays good through restarts and resets: clients may have read it."""
        path, keys = self.settings.data / "deployer.json", self.cloud.get(Identity).keys
        path.touch(mode=0o600)
        before = json.loads(path.read_text() or "{}")
        if before.get("client_email") == deployer:
            keys.adopt(before)
        else:
            path.write_text(json.dumps(keys.create(deployer, self.settings.projects[0])))

    def _seed_login(self, email: str) -> None:
        """The Application Default Credentials of a person, which stay good as the deployer's key does."""
        path, users = self.settings.data / "user.json", self.cloud.get(Identity).users
        path.touch(mode=0o600)
        before = json.loads(path.read_text() or "{}")
        if before.get("account") == email:
            users.adopt(before)
        else:
            path.write_text(json.dumps(users.login(email, self.settings.projects[0])))

    def _variables(self, proxy_port: int) -> dict[str, str]:
        """What clients need to find the emulator: nothing but places on the network and credentials."""
        bundle, proxy = str(self._certificates.bundle.absolute()), f"http://127.0.0.1:{proxy_port}"
        data, project = self.settings.data.absolute(), self.settings.projects[0]
        return {
            "https_proxy": proxy,
            "HTTPS_PROXY": proxy,
            "no_proxy": "127.0.0.1,localhost",
            "NO_PROXY": "127.0.0.1,localhost",
            "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": bundle,
            "REQUESTS_CA_BUNDLE": bundle,
            "SSL_CERT_FILE": bundle,
            "CURL_CA_BUNDLE": bundle,
            "HTTPLIB2_CA_CERTS": bundle,
            "GOOGLE_APPLICATION_CREDENTIALS": str(data / "deployer.json"),
            "GOOGLE_CLOUD_PROJECT": project,
            "CLOUDSDK_CORE_PROJECT": project,
            "CLOUDSDK_CORE_ACCOUNT": YOU,
            "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE": bundle,
            "CLOUDSDK_PROXY_TYPE": "http",
            "CLOUDSDK_PROXY_ADDRESS": "127.0.0.1",
            "CLOUDSDK_PROXY_PORT": str(proxy_port),
            "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(data / "gcloud-token"),
            "CLOUDSDK_CONFIG": str(data / "gcloud"),
            "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
            "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "true",
            "TF_CLI_CONFIG_FILE": str(write_mirror(data / "terraform")),
        }

    def _announce(self) -> None:
        """Leaves word of the running emulator for `slipway emulator env` and friends, and for nobody else."""
        plain = f"http://127.0.0.1:{self.cloud.http_port}"  # REST and registry without TLS
        word = {"pid": os.getpid(), "admin": self._admin_with_password, "http": plain}
        new = self.settings.data / "emulator.json.new"
        new.unlink(missing_ok=True)
        new.touch(mode=0o600)
        new.write_text(json.dumps({**word, "environment": self.environment}, indent=2))
        new.replace(self.settings.data / "emulator.json")  # whole or not at all
