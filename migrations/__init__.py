"""Schema migrations (Alembic); run on SQLite and PostgreSQL alike."""
