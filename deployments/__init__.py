"""What Prefect is told about the flows: automations. The deployments themselves are in prefect.yaml."""
