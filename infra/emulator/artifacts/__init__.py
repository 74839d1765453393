"""Artifact Registry: repositories, the images in them, the API over both, and the OCI registry; Container Analysis.

Begin with `images.py`, which builds and Cloud Run use, then `catalogue.py`; `repositories.py` and `contents.py` are the
API, `oci_*.py` the registry. May import iam, projects and kernel.
"""
