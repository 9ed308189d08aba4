"""What was asked, what was accepted, and where the files are: SQL, its in-memory twin, artifacts.

The only door to sqlalchemy, alembic and sqlite3. Start at `opening.open_ledger`.
"""
