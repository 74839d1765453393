"""Cloud Run: services and revisions as Google's APIs show them, over instances that really run."""
