"""The command line of the inspection core: inspect, repair, calibrate, logits, scan, job.

Nothing here imports torch until a command needs it; `scan` never does.
"""
