"""SQLite: connections, migrations, and one class for each table's SQL. No policy.

Rows are frozen values. A table's methods take the connection of the transaction
that they are part of, so that a room can write what belongs together at once.
"""
