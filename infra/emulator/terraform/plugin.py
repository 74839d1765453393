"""A provider as a process that Terraform starts: HashiCorp's go-plugin, a line on standard output and then gRPC.

https://github.com/hashicorp/go-plugin/blob/main/docs/internals.md
"""

from __future__ import annotations

import base64
import datetime
import os
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any

import grpc

from infra.emulator.terraform.wire import ERROR, RPCS, M

COOKIE = ("TF_PLUGIN_MAGIC_COOKIE", "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2")
AT_ONCE = 64  # Terraform asks for 10 resources at a time, unless it is told otherwise
SOCKET_BYTES = 90  # of 108, what a path may have before the socket's own name
WATCH_S = 1.0
ANSWERED_S = 1.0  # the answer to Shutdown must be out by then; after 2 s go-plugin kills


def serve(provider: Any) -> None:
    """Until Terraform says Shutdown, or is no more and nothing is under way.

    Ctrl-C reaches the whole process group. Only Terraform decides what it means, so it is ignored here: a provider
    that ended would lose what it is making.
    """
    if os.environ.get(COOKIE[0]) != COOKIE[1]:
        sys.exit("This is a Terraform provider, which Terraform starts by itself: `terraform init` finds it.")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    done, busy = threading.Event(), Busy()
    server = grpc.server(futures.ThreadPoolExecutor(AT_ONCE))
    server.add_generic_rpc_handlers(_handlers(provider, done, busy))
    with _folder() as folder:
        key, certificate, der = _certificate()
        server.add_secure_port(f"unix:{folder}/s", grpc.ssl_server_credentials([(key, certificate)]))
        server.start()
        print(f"1|5|unix|{folder}/s|grpc|{base64.b64encode(der).decode().rstrip('=')}", flush=True)  # noqa: T201
        _wait(done, busy)
        server.stop(ANSWERED_S).wait(ANSWERED_S)
    os._exit(0)  # within the 2 seconds after which go-plugin kills: threads may be on the line to the cloud yet


class Busy:
    """Counts the calls under way."""

    def __init__(self) -> None:
        self._count, self._lock = 0, threading.Lock()

    @contextmanager
    def one(self) -> Iterator[None]:
        with self._lock:
            self._count += 1
        try:
            yield
        finally:
            with self._lock:
                self._count -= 1

    def __bool__(self) -> bool:
        return self._count > 0


def _wait(done: threading.Event, busy: Busy) -> None:
    """A killed Terraform says nothing; what it had asked for is finished then, as the real provider does."""
    parent = os.getppid()
    while not done.wait(WATCH_S):
        if os.getppid() != parent and not busy:
            return


def _handlers(provider: Any, done: threading.Event, busy: Busy) -> tuple[grpc.GenericRpcHandler, ...]:
    def shutdown(_request: Any, _context: grpc.ServicerContext) -> Any:
        done.set()
        return M["Empty"]()

    empty = M["Empty"].FromString
    services = {
        "tfplugin5.Provider": {name: _handler(getattr(provider, name), *kinds, busy) for name, kinds in RPCS.items()},
        "plugin.GRPCController": {"Shutdown": grpc.unary_unary_rpc_method_handler(shutdown, empty, _bytes)},
        "plugin.GRPCStdio": {"StreamStdio": grpc.unary_stream_rpc_method_handler(lambda *_: iter(()), empty, _bytes)},
    }
    return tuple(grpc.method_handlers_generic_handler(name, methods) for name, methods in services.items())


def _handler(answer: Callable[[Any], Any], request: str, response: str, busy: Busy) -> grpc.RpcMethodHandler[Any, Any]:
    """Never an exception out of a call: Terraform would take the provider for crashed, and lose what it was making."""

    def call(message: Any, _context: grpc.ServicerContext) -> Any:
        with busy.one():
            try:
                return answer(message)
            except Exception as error:
                traceback.print_exc()  # in Terraform's own log, for who asks for one with TF_LOG
                told = M[response]()
                if "diagnostics" in told.DESCRIPTOR.fields_by_name:
                    told.diagnostics.add(severity=ERROR, summary=f"The stand-in provider failed: {error!r}")
                return told

    return grpc.unary_unary_rpc_method_handler(call, M[request].FromString, _bytes)


def _bytes(message: Any) -> bytes:
    return bytes(message.SerializeToString())


def _folder() -> tempfile.TemporaryDirectory[str]:
    """Of the socket; nobody else may look into it."""
    short = len(tempfile.gettempdir()) < SOCKET_BYTES - 20
    return tempfile.TemporaryDirectory(prefix="tf-", dir=None if short else "/tmp")  # noqa: S108


def _certificate() -> tuple[bytes, bytes, bytes]:
    """Key and certificate as PEM, the certificate as DER: the one that Terraform is to find behind the socket."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return private, certificate.public_bytes(pem), certificate.public_bytes(serialization.Encoding.DER)
