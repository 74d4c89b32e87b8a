"""`make verify`: what a deployment does, seen from outside (docs/verify.md). Standard library only."""
