"""A second opinion on busy time: computed from the specifications alone, sharing no code with what it checks."""
