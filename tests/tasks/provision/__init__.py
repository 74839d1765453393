"""What Terraform makes around an app: decided, guarded, told."""
