"""Builds the wheel of this package with nothing but Python, so that pip needs no index.

https://peps.python.org/pep-0517/
"""

import zipfile
from pathlib import Path

NAME = "greeting-1.0"
WHEEL = f"{NAME}-py3-none-any.whl"


def build_wheel(wheel_directory: str, config_settings: object = None, metadata_directory: object = None) -> str:
    files = {
        "greeting.py": Path("greeting.py").read_text(),
        f"{NAME}.dist-info/METADATA": "Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n",
        f"{NAME}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: packing\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{NAME}.dist-info/RECORD"] = "".join(f"{name},,\n" for name in (*files, f"{NAME}.dist-info/RECORD"))
    with zipfile.ZipFile(Path(wheel_directory, WHEEL), "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return WHEEL
