"""What is kept before a release, so that there is something to go back to: how services, jobs and worker pools are set,
who may call them, what calls them when. `form.py` decides and is pure, `configuration.py` reads and writes.

May import rollout and what is below it.
"""
