"""A registry of providers on this machine, behind a proxy: to Terraform it is the one of the whole world.

https://developer.hashicorp.com/terraform/internals/provider-registry-protocol
What it hands out is signed with a key of its own, which Terraform checks as it does with any publisher's.
"""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import platform
import shutil
import socketserver
import ssl
import subprocess
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme

HOST, NAME, VERSION = "registry.terraform.io", "google-beta", "8.7.0"
ARCH = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
BASE = f"/v1/providers/hashicorp/{NAME}"


@dataclass
class Registry:
    """`environment` leads Terraform to it; `asked` are the addresses that were asked for, other hosts' too."""

    environment: dict[str, str]
    files: dict[str, bytes]
    asked: list[str] = field(default_factory=list)


def package(arch: str) -> bytes:
    """As the real one is packed: the program, and what may be done with it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("LICENSE.txt", "Mozilla Public License Version 2.0\n")
        archive.writestr(f"terraform-provider-{NAME}_v{VERSION}_x5", f"#!/bin/sh\n# for {arch}\nexit 1\n")
    return buffer.getvalue()


def files(home: Path) -> dict[str, bytes]:
    arches = sorted({ARCH, "arm64"})
    zips = {f"terraform-provider-{NAME}_{VERSION}_linux_{arch}.zip": package(arch) for arch in arches}
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in zips.items()).encode()
    signature, key = signed(home, sums)
    platforms = [{"os": "linux", "arch": arch} for arch in arches]
    versions = {"versions": [{"version": VERSION, "protocols": ["5.0"], "platforms": platforms}]}
    found: dict[str, bytes] = {
        "/.well-known/terraform.json": b'{"providers.v1": "/v1/providers/"}',
        f"{BASE}/versions": json.dumps(versions).encode(),
        "/sums": sums,
        "/sums.sig": signature,
        **{f"/{name}": data for name, data in zips.items()},
    }
    for arch, (name, data) in zip(arches, zips.items(), strict=True):
        answer: dict[str, Any] = {
            "protocols": ["5.0"], "os": "linux", "arch": arch, "filename": name, "download_url": f"https://{HOST}/{name}",
            "shasums_url": f"https://{HOST}/sums", "shasums_signature_url": f"https://{HOST}/sums.sig",
            "shasum": hashlib.sha256(data).hexdigest(), "signing_keys": {"gpg_public_keys": [key]},
        }  # fmt: skip
        found[f"{BASE}/{VERSION}/download/linux/{arch}"] = json.dumps(answer).encode()
    return found


def signed(home: Path, data: bytes) -> tuple[bytes, dict[str, str]]:
    """A signature, and the key that it is checked with."""
    gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--passphrase", "", "--pinentry-mode", "loopback"]

    def run(*arguments: str, sent: bytes = b"") -> bytes:
        return subprocess.run([*gpg, *arguments], input=sent, capture_output=True, check=True).stdout

    try:
        run("--quick-gen-key", "publisher@example.com", "ed25519", "sign", "never")
        listed = run("--list-keys", "--with-colons").decode()
        fingerprint = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr"))
        armor = run("--armor", "--export", fingerprint).decode()
        return run("--detach-sign", sent=data), {"key_id": fingerprint[-16:], "ascii_armor": armor}
    finally:
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=True)


@contextmanager
def registry(folder: Path) -> Iterator[Registry]:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(HOST).configure_cert(context)
    authority.cert_pem.write_to_path(folder / "authority.pem")
    home = Path(tempfile.mkdtemp(prefix="gpg-"))  # gpg's sockets are in it, whose paths must be short
    try:
        served = Registry({}, files(home))
    finally:
        shutil.rmtree(home, ignore_errors=True)

    class Answers(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            served.asked.append(self.path)
            body = served.files.get(self.path)
            self.send_response(200 if body is not None else 404)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_: object) -> None: ...

    class Connects(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            target = self.rfile.readline().split()[1].decode()
            while self.rfile.readline().strip():
                pass
            if target != f"{HOST}:443":
                served.asked.append(target)
                self.wfile.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
                return
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            with context.wrap_socket(self.request, server_side=True) as line:
                Answers(line, self.client_address, self.server)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Connects) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        proxy = f"http://127.0.0.1:{server.server_address[1]}"
        served.environment = {
            "HTTPS_PROXY": proxy, "https_proxy": proxy, "NO_PROXY": "", "no_proxy": "",
            "SSL_CERT_FILE": str(folder / "authority.pem"),
        }  # fmt: skip
        yield served
        server.shutdown()
        thread.join()
