"""Cloud Run: services, revisions, jobs."""
