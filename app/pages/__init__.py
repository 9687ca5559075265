"""The report as people read it: a page, also printed, and under a policy where one is named."""
