"""The AWS half on the real engine, with an emulator for AWS."""
