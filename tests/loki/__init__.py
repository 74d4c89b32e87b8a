"""Loki's suites: replicas on a bucket, backup and restore, a full disk, retention."""
