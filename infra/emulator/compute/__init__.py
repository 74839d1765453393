"""Compute Engine, as far as firewalls and load balancers go: resources that refer to each other. Nothing runs.

Begin with `state.py`; `api.py` are the routes. May import iam, projects and kernel.
"""
