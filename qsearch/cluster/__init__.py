"""Pools: where work runs. Importing this room imports no Ray; making a `RayPool` does.

`pools.open_pool` chooses by name; `local`, `ray_pool` and `memory` are the three implementations of
the port `qsearch.contracts.pool.Pool`, and `recording` writes what `memory` can replay.
"""
