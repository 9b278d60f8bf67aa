"""Fits to random chunks of groups, averaged."""
