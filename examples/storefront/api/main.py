"""The storefront's API: what is for sale, as JSON."""

import json
import os
import signal
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

VERSION = os.environ.get("K_REVISION", "local")
PRODUCTS = json.loads(Path(__file__).with_name("products.json").read_text(encoding="utf-8"))


class Api(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        match self.path.partition("?")[0]:
            case "/health":
                self.answer(HTTPStatus.OK, "ok", "text/plain")
            case "/products":
                self.answer_json(HTTPStatus.OK, {"version": VERSION, "products": PRODUCTS})
            case "/" | "/version":
                self.answer_json(HTTPStatus.OK, {"service": "api", "version": VERSION})
            case path:
                self.answer_json(HTTPStatus.NOT_FOUND, {"error": f"There is nothing at {path}."})

    def answer_json(self, status: HTTPStatus, value: object) -> None:
        self.answer(status, json.dumps(value), "application/json")

    def answer(self, status: HTTPStatus, text: str, content_type: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{content_type}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server = ThreadingHTTPServer(("0.0.0.0", int(os.environ.get("PORT", "8080"))), Api)
    print(f"api {VERSION} listens on port {server.server_port}")
    server.serve_forever()


if __name__ == "__main__":
    main()
