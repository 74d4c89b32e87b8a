"""Images made here where their registries refuse them."""
