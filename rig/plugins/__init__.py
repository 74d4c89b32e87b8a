"""Stand-ins for two Pulumi provider plugins: test equipment, see README.md beside this file."""
