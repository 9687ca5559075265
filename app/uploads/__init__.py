"""Uploads: bytes come in by parts, are measured and hashed here, and become an artifact."""
