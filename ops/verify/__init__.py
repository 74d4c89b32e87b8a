"""`make verify`: checks a deployment from outside (docs/verify.md). Standard library only."""
