"""What `make up` and `make install` are made of (standard library only)."""
