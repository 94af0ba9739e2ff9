"""What the recipes reward and forbid, as functions: here the sandbox's own rules.

In a project of your own this file is yours. Each function is given conversations, as lists of chat
messages, and a response to each, and returns a number for each.
"""

from pipelines.sandbox.rewards import rules, violations, watch

__all__ = ["rules", "violations", "watch"]
