"""The edge's suites: the gate, reloads under load, floods, broken configurations, Loki's restarts."""
