"""The backend. No telemetry: the libraries must know before the first of them is loaded."""

import os

# TRL tells the hub of every trainer that is made, and of the machine's GPU.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
