"""Shows availability to the world: what is published, what changed, and who may see it."""
