"""The resources of the stand-in provider: what each looks like to Terraform, and by which calls it lives."""
