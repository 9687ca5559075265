"""The ledger: who asked what, and what was answered. Never sees a tensor, never imports torch."""
