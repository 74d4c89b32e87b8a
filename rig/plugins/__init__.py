"""A fake of Pulumi's AWS plugin: test equipment, see README.md beside this file."""
