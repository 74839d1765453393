"""The command line, as cyclopts describes the app."""

from __future__ import annotations

import re

from cyclopts.docs import generate_markdown_docs

from cli.main import app

# cyclopts puts how this very program was started into the usage of each command: `slipway up -m pytest [OPTIONS]`.
_OWN_START = re.compile(r"^(slipway [a-z ]+) -m \S+", re.MULTILINE)


def commands() -> str:
    said = generate_markdown_docs(app, heading_level=2, generate_toc=False)
    return _OWN_START.sub(r"\1", said)
