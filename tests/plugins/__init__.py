"""The plugins, by their protocol and with the real engine."""
