"""Protocols of other packages."""
