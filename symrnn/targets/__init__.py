"""A file is a target."""
