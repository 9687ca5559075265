"""Database: declarative base, identifiers, sessions, migrations. Knows no table."""
