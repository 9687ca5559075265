"""Honest models of our own on the user's backbone, beside which a score is judged."""
