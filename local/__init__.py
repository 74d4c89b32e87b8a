"""The code of `make up` and `make install` (standard library only)."""
