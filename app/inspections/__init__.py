"""Inspections: asking for one, watching it, cancelling it; and the leases that workers hold."""
