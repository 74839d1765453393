"""The storefront's page: asks the API what is for sale and shows it."""

import json
import os
import signal
import sys
from html import escape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from string import Template
from typing import Any
from urllib.request import urlopen

VERSION = os.environ.get("K_REVISION", "local")
API_URL = os.environ.get("API_URL", "http://127.0.0.1:8080")
API_TIMEOUT_S = 5
PAGE = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))


def fetch_catalogue() -> dict[str, Any]:
    """`{"version": ..., "products": [...]}` from the API; raises OSError or ValueError when it does not answer so."""
    with urlopen(f"{API_URL}/products", timeout=API_TIMEOUT_S) as response:  # noqa: S310 - the operator sets API_URL
        return json.load(response)


def card(product: dict[str, str]) -> str:
    name, note, price = (escape(product[key]) for key in ("name", "note", "price"))
    return f'<li><h2>{name}</h2><p>{note}</p><span class="price">€ {price}</span></li>'


def page() -> tuple[HTTPStatus, str]:
    """The page, and whether the API had anything to show on it."""
    try:
        catalogue = fetch_catalogue()
    except (OSError, ValueError) as error:
        print(f"the api at {API_URL} does not answer: {error}", file=sys.stderr)
        apology = '<p class="sorry">The shelves are empty: the api does not answer.</p>'
        return HTTPStatus.BAD_GATEWAY, PAGE.substitute(shelf=apology, api="unreachable", frontend=escape(VERSION))
    shelf = f"<ul>{''.join(card(product) for product in catalogue['products'])}</ul>"
    versions = {"api": escape(catalogue["version"]), "frontend": escape(VERSION)}
    return HTTPStatus.OK, PAGE.substitute(shelf=shelf, **versions)


class Frontend(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        match self.path.partition("?")[0]:
            case "/health":
                self.answer(HTTPStatus.OK, "ok", "text/plain")
            case "/":
                self.answer(*page(), "text/html")
            case path:
                self.answer(HTTPStatus.NOT_FOUND, f"There is nothing at {path}.", "text/plain")

    def answer(self, status: HTTPStatus, text: str, content_type: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{content_type}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server = ThreadingHTTPServer(("0.0.0.0", int(os.environ.get("PORT", "8080"))), Frontend)
    print(f"frontend {VERSION} listens on port {server.server_port} and asks {API_URL}")
    server.serve_forever()


if __name__ == "__main__":
    main()
