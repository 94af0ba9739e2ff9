"""`workbench evaluate`: an evaluation is a project of its own, and its result."""
