"""Cloud Build: builds that really run, and the local mirror of base images."""
