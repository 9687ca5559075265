"""One inspection: what is asked for, its stages in order, and what is written at the end."""
