"""The projects that exist, which APIs each has enabled and who pays; and the locations there are.

Begin with `projects.py`. May import kernel. What callers do to projects is in management, which stands on iam.
"""
