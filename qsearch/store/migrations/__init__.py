"""Revisions of the schema, run by `qsearch.store.schema`."""
