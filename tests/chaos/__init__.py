"""A service under faults: real servers and processes, a seeded schedule, and what must hold afterwards.

``python -m tests.chaos run`` starts PostgreSQL, Redis, an S3 server on disk, the API and workers, each
connection between them through a proxy of ours; a client submits inspections as an honest one would
while faults of many kinds begin and end; then the rows, the store, the sink of the webhooks and the
process table are held against the promises. All settings of the service are its defaults.

- ``proxy``: links that can be cut, silenced, delayed and throttled
- ``servers``: the three servers, to be killed and started again
- ``members``: API and workers, each with a data folder, a clock and links of its own
- ``rooms``: data folders on small disks of their own
- ``world``: all of these together, and a way into the database that no fault touches
- ``load``, ``wishes``, ``client``: who asks for what, and asks again
- ``faults``, ``links``, ``messages``, ``kills``: what goes wrong
- ``conductor``: when it goes wrong
- ``invariants``: what must hold, with figures
- ``record``: rows of all of it, written as it goes

Idea: Jepsen (Kingsbury), a generator of operations and a nemesis over one history that is judged at the end.
"""
