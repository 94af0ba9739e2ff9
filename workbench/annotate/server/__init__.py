"""Argilla's own server, started with nothing to install: its environment and its process."""
