"""Policies: what a buyer asks of a verdict before a file may be used, apart from the verdict."""
