"""The stack as a team uses it."""
