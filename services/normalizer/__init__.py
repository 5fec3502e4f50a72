"""The privacy border: a raw snapshot and a policy in, a public snapshot out."""
