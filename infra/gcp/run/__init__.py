"""Cloud Run: services, revisions, jobs, worker pools; one file for each resource of its API."""
