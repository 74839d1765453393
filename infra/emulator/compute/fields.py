"""The fields that each resource of Compute Engine has, by collection."""

from __future__ import annotations

from pathlib import Path

import yaml

_TEXTS: dict[str, str] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())
FIELDS = {collection: frozenset(text.split()) for collection, text in _TEXTS.items()}
