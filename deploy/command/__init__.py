"""The busyline command line."""
