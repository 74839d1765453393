"""What an app needs around it: made with Terraform, adopted where it is there, found and told whatever happens."""
