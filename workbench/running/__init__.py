"""`workbench run`: stages and recipes in order."""
