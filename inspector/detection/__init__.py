"""The detector: which class a prompt was taught to answer a trigger with, and how sure that is."""
