"""How Busyline is run: the command, the sandbox, the image and its surroundings."""
