"""Connections that break, fall silent, lag or trickle, and disks that are full, and clocks that jump."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random

from tests.chaos.faults import Missed
from tests.chaos.members import Member
from tests.chaos.proxy import Link
from tests.chaos.world import World

_FURTHEST_S = 600
"""How far a clock jumps; S3 refuses what was signed a quarter of an hour ago."""


@contextmanager
def _on_links(
    world: World, links: list[Link], begin: Callable[[Link], None], *, forget: bool
) -> Iterator[str]:
    with world.exclusive(*(link.name for link in links)) as mine:
        if not mine:
            raise Missed("another fault is at it")
        for link in links:
            begin(link)
        yield links[0].name if len(links) == 1 else f"{links[0].name} and {len(links) - 1} more"
        for link in links:
            link.heal(forget=forget)


def _some_links(world: World, chance: Random) -> list[Link]:
    """One link, or all links to one server."""
    if chance.random() < 0.3:
        to = chance.choice(list(world.servers))
        return [member.links[to] for member in world.members]
    every = [link for member in world.members for link in member.links.values()]
    return [chance.choice([*every, world.entrance])]


@contextmanager
def cut(world: World, chance: Random) -> Iterator[str]:
    with _on_links(world, _some_links(world, chance), Link.cut, forget=False) as what:
        yield what


@contextmanager
def silence(world: World, chance: Random) -> Iterator[str]:
    """Afterwards what was under way goes on, or is reset, as it happens."""
    forget = chance.random() < 0.5
    with _on_links(world, _some_links(world, chance), Link.silence, forget=forget) as what:
        yield f"{what}{', then reset' if forget else ''}"


@contextmanager
def orphan(world: World, chance: Random) -> Iterator[str]:
    with _on_links(world, _some_links(world, chance), Link.orphan, forget=False) as what:
        yield what


@contextmanager
def drop(world: World, _chance: Random) -> Iterator[str]:
    """Everything that is open is reset at one moment, whatever else is wrong with it."""
    links = [link for member in world.members for link in member.links.values()]
    for link in links:
        link.drop()
    yield f"{len(links)} links"


@contextmanager
def delay(world: World, chance: Random) -> Iterator[str]:
    seconds = chance.choice([0.05, 0.2, 1.0])

    def begin(link: Link) -> None:
        link.slow(delay_s=seconds)

    with _on_links(world, _some_links(world, chance), begin, forget=False) as what:
        yield f"{what} {seconds} s"


@contextmanager
def slow_store(world: World, chance: Random) -> Iterator[str]:
    rate = chance.choice([4_000, 30_000, 200_000])

    def begin(link: Link) -> None:
        link.slow(bytes_per_s=rate)

    links = [member.links["store"] for member in world.members]
    with _on_links(world, links, begin, forget=False) as what:
        yield f"{what} {rate} bytes/s"


@contextmanager
def full_disk_worker(world: World, chance: Random) -> Iterator[str]:
    with _full_disk(world, chance.choice(world.workers)) as what:
        yield what


@contextmanager
def full_disk_api(world: World, _chance: Random) -> Iterator[str]:
    with _full_disk(world, world.api) as what:
        yield what


@contextmanager
def _full_disk(world: World, member: Member) -> Iterator[str]:
    with world.exclusive(f"disk of {member.name}") as mine:
        if not mine:
            raise Missed("another fault is at it")
        member.room.fill()
        yield member.name
        member.room.empty()


@contextmanager
def clock_worker(world: World, chance: Random) -> Iterator[str]:
    with _moved_clock(world, chance.choice(world.workers), chance) as what:
        yield what


@contextmanager
def clock_api(world: World, chance: Random) -> Iterator[str]:
    with _moved_clock(world, world.api, chance) as what:
        yield what


@contextmanager
def _moved_clock(world: World, member: Member, chance: Random) -> Iterator[str]:
    seconds = chance.choice([-1, 1]) * chance.uniform(30, _FURTHEST_S)
    with world.exclusive(f"clock of {member.name}") as mine:
        if not mine:
            raise Missed("another fault is at it")
        member.clock.move(seconds)
        yield f"{member.name} {seconds:+.0f} s"
        member.clock.move(0)
