"""Tests: unit (pure), contracts (every implementation of an edge), integration, pipeline, bench."""
