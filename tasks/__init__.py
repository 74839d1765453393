"""The verbs of a release, one room per capability, lowest first:

failures, names, manifest, model, source, orchestration, request, history, builds, analysis, rollout, release,
preflight, cleanup, drift. A room imports only rooms before it in this list; all may import `infra.gcp`.
"""
