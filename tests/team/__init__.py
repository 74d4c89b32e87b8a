"""The stack in a team's use."""
