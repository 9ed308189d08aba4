"""Benches: `python -m tests.bench.NAME [--json] [--quick] [--strict]`; without a name, those that need no job."""
