"""Cloud Monitoring: the time series of Cloud Run.

Begin with `api.py`. May import run and what is below that.
"""
