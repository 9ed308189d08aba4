"""Words and promises the rooms share: frozen records, ports, one error family.

Standard library only (numpy for types). Every other room may import this one; it imports none.
"""
