"""Suites of the Docker hosts' log shippers."""
