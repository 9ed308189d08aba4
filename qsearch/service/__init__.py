"""The use-cases, and the wiring: the one place where concrete classes are chosen."""
