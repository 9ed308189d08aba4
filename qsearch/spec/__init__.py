"""Job specs, targets and settings: YAML and TOML to records, and what is wrong where.

The only door to pydantic, PyYAML and platformdirs. Importing any module that other rooms call
(`loading`, `model_file`, `targets`, `units`, `schema`, `settings`, `template`) imports none of the
three: they are loaded when a file is read.
"""
