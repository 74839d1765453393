"""What lock files name: what is pinned, by the names that OSV has for it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.supply_chain.locks import Locked, Unreadable, packages, reader

HASHED = """\
# made by pip-compile
--index-url https://pypi.example.com/simple
Jinja2==3.1.2 \\
    --hash=sha256:abc
    # via flask
typing_extensions[extra]===4.9.0 ; python_version < "3.12"
-e .
requests>=2
"""
POETRY = '[[package]]\nname = "Jinja2"\nversion = "3.1.2"\n\n[metadata]\nlock-version = "2.0"\n'
UV = """\
version = 1

[[package]]
name = "shop"
version = "0.1.0"
source = { editable = "." }

[[package]]
name = "jinja2"
version = "3.1.2"
source = { registry = "https://packages.example.com/simple" }
"""
NPM = {
    "lockfileVersion": 3,
    "packages": {
        "": {"name": "shop", "version": "1.0.0"},
        "node_modules/lodash": {"version": "4.17.20"},
        "node_modules/a/node_modules/@types/node": {"version": "20.1.0"},
        "node_modules/own": {"resolved": "own", "link": True},
    },
}
NPM_1 = {"dependencies": {"a": {"version": "1.0.0", "dependencies": {"b": {"version": "2.0.0"}}}}}
YARN = """\
# yarn lockfile v1

"@babel/core@^7.0.0", "@babel/core@^7.1.0":
  version "7.2.2"
  dependencies:
    lodash "^4.17.10"

lodash@^4.17.10:
  version "4.17.20"
"""
GO = """\
module example.com/shop

go 1.22

require (
\tgithub.com/gin-gonic/gin v1.9.0
\tgolang.org/x/text v0.3.7 // indirect
)
require rsc.io/quote v1.5.2
"""


@pytest.mark.parametrize(
    ("path", "text", "found"),
    [
        ("requirements.txt", HASHED, {("PyPI", "jinja2", "3.1.2"), ("PyPI", "typing-extensions", "4.9.0")}),
        ("requirements-dev.lock", "a==1", {("PyPI", "a", "1")}),
        ("poetry.lock", POETRY, {("PyPI", "jinja2", "3.1.2")}),
        ("uv.lock", UV, {("PyPI", "jinja2", "3.1.2")}),
        ("Pipfile.lock", json.dumps({"default": {"Jinja2": {"version": "==3.1.2"}}}), {("PyPI", "jinja2", "3.1.2")}),
        ("web/package-lock.json", json.dumps(NPM), {("npm", "lodash", "4.17.20"), ("npm", "@types/node", "20.1.0")}),
        ("package-lock.json", json.dumps(NPM_1), {("npm", "a", "1.0.0"), ("npm", "b", "2.0.0")}),
        ("yarn.lock", YARN, {("npm", "@babel/core", "7.2.2"), ("npm", "lodash", "4.17.20")}),
        ("Cargo.lock", '[[package]]\nname = "Tokio_x"\nversion = "1.0.0"\n', {("crates.io", "Tokio_x", "1.0.0")}),
        (
            "go.mod",
            GO,
            {
                ("Go", "github.com/gin-gonic/gin", "1.9.0"),
                ("Go", "golang.org/x/text", "0.3.7"),
                ("Go", "rsc.io/quote", "1.5.2"),
            },
        ),
    ],
)
def test_a_lock_file_names_what_is_pinned(path: str, text: str, found: set[tuple[str, str, str]]) -> None:
    assert packages(path, text) == {Locked(*each) for each in found}


@pytest.mark.parametrize("path", ["package.json", "requirements.in", "main.py", "pyproject.toml", "requirementsx.txt"])
def test_other_files_are_no_lock_files(path: str) -> None:
    assert reader(path) is None


@pytest.mark.parametrize("path", ["package-lock.json", "poetry.lock", "Pipfile.lock", "requirements.txt", "yarn.lock"])
@given(text=st.text(max_size=200))
def test_whatever_is_in_one_it_is_read_or_said_to_be_unreadable(path: str, text: str) -> None:
    try:
        assert all(each.name and each.version for each in packages(path, text))
    except Unreadable as error:
        assert path in str(error)
