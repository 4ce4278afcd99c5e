"""Declare projects, roles and callers in a file, plan what would change, and write what there is as such a file."""
