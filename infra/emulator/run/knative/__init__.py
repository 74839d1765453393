"""Cloud Run's API v1, in Knative's form, as gcloud speaks it.

Begin with `routes.py`; `incoming.py` and `outgoing.py` translate from and to API v2. May import run, and what run may;
nothing in run imports it.
"""
