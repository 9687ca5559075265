"""Webhooks: who wants to hear of what, what is still to be said, and how it is signed."""
