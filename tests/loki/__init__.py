"""Loki's suites: replicas on a bucket, backup and restore."""
