"""Repair: put a prompt without the backdoor in a delivered one's place, and judge its worth.

Several strategies make a copy each (`strategy`), cheap judges rank the copies (`tournament`), and
`acceptance` has the words for the best of them, fixed before any of them ran. Experiment 54.
Encoders have strategies of their own (`encoders`), for the same tournament. Experiment 57.
"""
