"""The revisions of the schema, in order; shared/tables.py is where they arrive."""
