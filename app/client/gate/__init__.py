"""The gate of pipelines."""
