"""Trusted stand-ins of a delivered classifier: taught its answers on clean pictures, no more.

A twin says on clean pictures what the delivered classifier says, and has nothing of its weights.
What a trigger does to the classifier and to no twin of it is not explained by the task
(experiment 53). A repair teaches a prompt in the same way (`inspector.repair`).
"""
