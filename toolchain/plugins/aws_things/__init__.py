"""The stand-in for Pulumi's AWS plugin."""
