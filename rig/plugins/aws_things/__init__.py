"""The fake for AWS: `table.py` has the types, `resource.py` makes them work."""
