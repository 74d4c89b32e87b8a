"""Loki's suites: replicas on a bucket."""
