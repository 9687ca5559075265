"""Golden tests: what the detector says today, pinned, so that a change of structure is seen to change nothing.

`reports` hold the figures of some 17 small models that are inspected through the command line, `seeds` the
random generators of these inspections, `keys` every key of a report with its type, `rule` every constant that
reaches a verdict, `draws` what random numbers become. They lie in `fixtures/` as JSON and are written anew by

    python -m tests.golden --write

Whoever runs it answers for the diff. Inside `inspector` only `seam` names modules, and only `figures` names keys
of a report: a refactoring edits these two, and no fixture but `keys.json`.
"""
