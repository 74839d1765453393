"""What the published schema of Google's provider says, read from its generated Python bindings.

The package `cdktn-provider-google-beta` is generated from `terraform providers schema` of the real provider. Nothing
of it is imported: its source is read. It tells arguments and blocks, which are required, how many there may be, and
what is only read. It does not tell what makes a resource anew, what is secret, and what has a default.

    pip download --no-deps cdktn-provider-google-beta==21.1.0 cdktn-provider-google==21.1.0
    python -m tests.infra.emulator.terraform.bindings google_beta.whl google.whl > tests/data/terraform/published.json
"""

from __future__ import annotations

import ast
import json
import re
import sys
import zipfile
from pathlib import Path
from typing import Any

from infra.emulator.terraform.table import PROVIDERS

Shape = dict[str, Any]
META = {"scope", "id_", "connection", "count", "depends_on", "for_each", "lifecycle", "provider", "provisioners"}
TYPES = (("bool", "bool"), ("Sequence", "list"), ("Mapping", "map"), ("jsii.Number", "number"))


def published(package: Path | zipfile.Path, kind: str) -> Shape | None:
    """A resource of the provider, None where it has none such; `package` is the folder of the bindings."""
    module = package / kind / "__init__.py"
    if not module.is_file():
        return None
    source = module.read_text(encoding="utf-8")
    classes = {each.name: each for each in ast.parse(source).body if isinstance(each, ast.ClassDef)}
    main = next(each for each in classes.values() if any("TerraformResource" in ast.unparse(b) for b in each.bases))
    arguments = _arguments(main, classes)
    timeouts = arguments.pop("timeouts", {"block": {}})["block"]
    names = {each.name for each in main.body if isinstance(each, ast.FunctionDef) and _is_property(each)}
    read_only = [n for n in names - arguments.keys() - {"timeouts"} if f"{n}_input" not in names and n[-6:] != "_input"]
    version = re.search(r"providers/hashicorp/[\w-]+/([\d.]+)/docs", source)
    assert version is not None
    read_only.remove("TF_RESOURCE_TYPE")
    return {"version": version[1], "arguments": arguments, "read_only": sorted(read_only), "timeouts": sorted(timeouts)}


def configuration(package: Path | zipfile.Path) -> Shape:
    """Of the provider itself, without the addresses of other clouds."""
    source = (package / "provider" / "__init__.py").read_text(encoding="utf-8")
    classes = {each.name: each for each in ast.parse(source).body if isinstance(each, ast.ClassDef)}
    arguments = _arguments(classes[next(name for name in classes if name.endswith("Provider"))], classes)
    return {name: each for name, each in arguments.items() if not name.endswith("_custom_endpoint")}


def _is_property(function: ast.FunctionDef) -> bool:
    return any("property" in ast.unparse(decorator) for decorator in function.decorator_list)


def _arguments(of: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> Shape:
    begin = next(each for each in of.body if isinstance(each, ast.FunctionDef) and each.name == "__init__")
    return {each.arg: _argument(each, of, classes) for each in begin.args.kwonlyargs if each.arg not in META}


def _argument(argument: ast.arg, of: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> Shape:
    assert argument.annotation is not None
    text = ast.unparse(argument.annotation)
    needed = {"required": not text.startswith("typing.Optional")}
    inner = [name for name in re.findall(r"['\"](\w+)['\"]", text) if name in classes and name != of.name]
    if inner:
        return {**needed, "many": "Sequence" in text, "block": _arguments(classes[inner[0]], classes)}
    return {**needed, "type": next((kind for mark, kind in TYPES if mark in text), "string")}


def table(beta: Path | zipfile.Path, stable: Path | zipfile.Path) -> Shape:
    """Of every kind that the stand-ins have. `stable`: `google` has it too, in whose package names are shorter."""
    found: dict[str, Shape] = {}
    for kind in sorted(PROVIDERS["google-beta"]):
        shape = published(beta, kind)
        assert shape is not None, kind
        found[kind] = {**shape, "stable": published(stable, kind.removeprefix("google_")) is not None}
    return {"provider": configuration(beta)} | found


def _root(wheel: str) -> zipfile.Path:
    return next(each for each in zipfile.Path(wheel).iterdir() if (each / "provider").is_dir())


if __name__ == "__main__":
    lines = [f"{json.dumps(k)}: {json.dumps(v, sort_keys=True)}" for k, v in table(*map(_root, sys.argv[1:])).items()]
    print("{\n" + ",\n".join(lines) + "\n}")
