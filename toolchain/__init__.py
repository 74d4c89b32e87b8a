"""What makes the project run: tools, plugins, images and the local stack (stdlib only)."""
