"""The public image that Cloud Run's own quick start deploys, made here: it runs without a network."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from typing import Any

from infra.emulator.artifacts.blobs import Blobs
from infra.emulator.artifacts.manifests import compose

REPOSITORY = "projects/cloudrun/locations/us/repositories/container"
IMAGES = ("hello", "placeholder")
AS_PROCESS = "dev.slipway.run-as-process"  # label: the image holds a program but no system to run it in

PROGRAM = '''"""A stand-in for Google's hello image."""

import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAGE = """<!doctype html><title>Congratulations</title>
<h1>It's running!</h1><p>Service %s, revision %s: the placeholder image of the local Google Cloud.</p>
"""


class Hello(BaseHTTPRequestHandler):
    def do_GET(self):
        page = PAGE % (os.environ.get("K_SERVICE", "?"), os.environ.get("K_REVISION", "?"))
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page.encode())))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(page.encode())

    do_HEAD = do_POST = do_GET

    def log_message(self, *_):
        pass


port = int(os.environ.get("PORT", "8080"))
print(f"Hello from the local Google Cloud! Listening on port {port}", file=sys.stderr, flush=True)
ThreadingHTTPServer(("", port), Hello).serve_forever()
'''


def compose_hello(blobs: Blobs) -> bytes:
    """Stores the image's blobs and answers its manifest, which is the same every time."""
    archive = _archive({"app/hello.py": PROGRAM.encode()})
    layer = blobs.add(gzip.compress(archive, mtime=0))
    config: dict[str, Any] = {
        "architecture": "amd64",
        "os": "linux",
        "created": "2024-01-01T00:00:00Z",
        "config": {
            "Entrypoint": ["python3", "/app/hello.py"],
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "ExposedPorts": {"8080/tcp": {}},
            "WorkingDir": "/app",
            "Labels": {AS_PROCESS: "true"},
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(archive).hexdigest()}"]},
    }
    return compose(blobs, config, [layer])


def _archive(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o755
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()
