"""`workbench advise`: which recipe, why, and what it would cost by the project's own figures."""
