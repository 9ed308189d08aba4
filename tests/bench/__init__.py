"""Benches: `python -m tests.bench.NAME [--json] [--quick] [--strict]`; `python -m tests.bench` runs them all."""
