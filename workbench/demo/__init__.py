"""The demo project: its place, and the flows that fill it."""
