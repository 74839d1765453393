"""What callers do to projects: Resource Manager, Service Usage and Billing, one file each.

May import iam, projects and kernel.
"""
