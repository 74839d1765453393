"""Projects, their enabled APIs, billing and locations."""
