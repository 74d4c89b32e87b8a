"""Programs that the tests run, built from pinned modules or unpacked from packages."""
