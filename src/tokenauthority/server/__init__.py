"""The composition root: build everything from the settings, and run it until a signal."""
