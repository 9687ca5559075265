"""Load and races against running services: ``python -m tests.load.races``."""
