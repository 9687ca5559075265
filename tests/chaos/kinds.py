"""The table of all kinds of fault: durations in seconds at the default settings, shares of a schedule."""

from __future__ import annotations

from tests.chaos import kills, links, messages
from tests.chaos.faults import Kind

KINDS = (
    Kind("kill the API", kills.kill_api, (0.5, 10), 1.5),
    Kind("kill a worker", kills.kill_worker, (0.5, 15), 1.5),
    Kind("kill an inspection child", kills.kill_child, (0, 0), 1.5),
    Kind("kill a reader child", kills.kill_reader, (0, 0)),
    Kind("kill the database", kills.kill_database, (0.5, 45), 1.5),
    Kind("kill the broker", kills.kill_broker, (0.5, 45)),
    Kind("kill the store", kills.kill_store, (0.5, 45), 1.5),
    Kind("restart all servers", kills.restart_all, (1, 10)),
    Kind("stop the API in good order", kills.stop_api, (0.5, 10)),
    Kind("stop a worker in good order", kills.stop_worker, (0.5, 10)),
    Kind("zombie worker", kills.zombie_worker, (10, 30), outlasts_lease=True),
    Kind("frozen member", kills.frozen_member, (3, 30)),
    Kind("frozen server", kills.frozen_server, (3, 30)),
    Kind("cut", links.cut, (3, 60), 2),
    Kind("silence", links.silence, (5, 60), 1.5),
    Kind("orphaned connections", links.orphan, (20, 90)),
    Kind("reset of all connections", links.drop, (0, 0)),
    Kind("delay", links.delay, (5, 30), 1.5),
    Kind("slow store", links.slow_store, (5, 30)),
    Kind("full disk of a worker", links.full_disk_worker, (5, 30), needs="disk"),
    Kind("full disk of the API", links.full_disk_api, (5, 20), needs="disk"),
    Kind("clock of a worker", links.clock_worker, (10, 60), 1.5, needs="clock"),
    Kind("clock of the API", links.clock_api, (10, 60), needs="clock"),
    Kind("wake-ups twice", messages.twice, (0, 0)),
    Kind("wake-ups lost", messages.lost, (0, 0)),
    Kind("wake-ups late", messages.late, (5, 45)),
    Kind("stale wake-ups", messages.stale, (0, 0)),
    Kind("nonsense in the queue", messages.nonsense, (0, 0)),
)
