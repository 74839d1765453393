"""Where Terraform finds the stand-ins: a filesystem mirror, and a configuration that knows nothing else.

https://developer.hashicorp.com/terraform/cli/config/config-file#provider-installation
"""

from __future__ import annotations

import platform
import shlex
import sys
from pathlib import Path

NAMES = ("google", "google-beta")
VERSION = "8.7.0"  # of the real providers that these stand in for
HOST = "registry.terraform.io"  # part of a provider's name; nothing is asked there
ROOT = Path(__file__).parents[3]
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
# The same on every machine, so that a lock file is: what differs stands in `start`, beside the mirror.
SCRIPT = '#!/bin/sh\nexec "$(dirname "$(readlink -f "$0")")/../../../../../../start" {}\n'
# Without -P the folder in which Terraform runs would be searched for modules first.
START = '#!/bin/sh\nPYTHONPATH={}${{PYTHONPATH:+:$PYTHONPATH}} exec {} -P -m infra.emulator.terraform "$1"\n'
CONFIG = 'disable_checkpoint = true\nprovider_installation {{\n  filesystem_mirror {{\n    path = "{}"\n  }}\n}}\n'


def write_mirror(folder: Path) -> Path:
    """Both providers for this machine; answers what TF_CLI_CONFIG_FILE is to name."""
    mirror = folder.absolute() / "mirror"
    for name in NAMES:
        place = mirror / HOST / "hashicorp" / name / VERSION / _platform()
        place.mkdir(parents=True, exist_ok=True)
        _program(place / f"terraform-provider-{name}_v{VERSION}", SCRIPT.format(name))
    _program(folder.absolute() / "start", START.format(shlex.quote(str(ROOT)), shlex.quote(sys.executable)))
    config = folder.absolute() / "terraform.rc"
    config.write_text(CONFIG.format(str(mirror).replace("\\", "\\\\").replace('"', '\\"')))
    return config


def _platform() -> str:
    machine = platform.machine()
    return f"{platform.system().lower()}_{ARCHITECTURES.get(machine, machine)}"


def _program(path: Path, text: str) -> None:
    """Whole or not at all: a Terraform may be starting it."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text)
    new.chmod(0o755)
    new.replace(path)
