"""Everything that crosses the broker; imports nothing else of the project."""
