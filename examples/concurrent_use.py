"""Demonstrates, for every type, concurrent use of one value in two data centers during a network partition.

    crdtkv up --cuttable                # in one terminal
    python examples/concurrent_use.py   # in another, in the same directory

Every scene prepares a key, and waits until both sides have it. Then the links are cut, and both sides make changes. The
script prints the value on each side, heals the links, and prints the value when both sides are equal. It ends with an
error if a value is not as the scene says.
"""

import argparse
import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import crdtkv
from crdtkv.config.loader import load

PATIENCE_S = 30.0
Act = Callable[[crdtkv.Client], Awaitable[object]]


class Scene(NamedTuple):
    """One type: the value before, the changes of each side during the cut, how to read the value, and the result.

    `after` is a further change of the other side once the cut is healed.
    """

    title: str
    before: Act
    here: tuple[str, Act]
    there: tuple[str, Act]
    look: Callable[[crdtkv.Client], Awaitable[Any]]
    outcome: Callable[[Any], bool]
    why: str
    after: tuple[str, Callable[[crdtkv.Client], Awaitable[bool]]] | None = None


def scenes(run: str) -> list[Scene]:
    """Return all scenes, on keys of this run."""

    async def nothing(kv: crdtkv.Client) -> None:
        pass

    async def both(*acts: Awaitable[None]) -> None:
        for act in acts:
            await act

    def key(name: str) -> str:
        return f"{run}:{name}"

    async def siblings(kv: crdtkv.Client) -> Any:
        return sorted((await kv.entry(key("user"))).siblings)

    return [
        Scene(
            "register: both put",
            lambda kv: kv.put(key("user"), "Ada"),
            ("put 'Ada King'", lambda kv: kv.put(key("user"), "Ada King")),
            ("put 'A. Lovelace'", lambda kv: kv.put(key("user"), "A. Lovelace")),
            siblings,
            lambda seen: seen == ["A. Lovelace", "Ada King"],
            "both are kept as siblings",
        ),
        Scene(
            "lww: both put, the second a moment later",
            nothing,
            ("put 'first'", lambda kv: kv.lww().put(key("motd"), "first")),
            ("put 'second'", lambda kv: both(asyncio.sleep(0.2), kv.lww().put(key("motd"), "second"))),
            lambda kv: kv.lww().get(key("motd")),
            lambda seen: seen == "second",
            "the last writer wins, by request",
        ),
        Scene(
            "counter: both increment",
            lambda kv: kv.counter(key("views")).increment(10),
            ("increment 3", lambda kv: kv.counter(key("views")).increment(3)),
            ("increment 4", lambda kv: kv.counter(key("views")).increment(4)),
            lambda kv: kv.counter(key("views")).value(),
            lambda seen: seen == 17,
            "all increments count",
        ),
        Scene(
            "counter: one resets, the other increments",
            lambda kv: kv.counter(key("today")).increment(10),
            ("delete", lambda kv: kv.counter(key("today")).delete()),
            ("increment 4", lambda kv: kv.counter(key("today")).increment(4)),
            lambda kv: kv.counter(key("today")).value(),
            lambda seen: seen == 4,
            "what was counted before is reset, the increment beside it counts",
        ),
        Scene(
            "set: one removes 'lamp', the other adds it again",
            lambda kv: kv.set(key("cart")).add("book", "lamp"),
            ("remove lamp", lambda kv: kv.set(key("cart")).remove("lamp")),
            (
                "add lamp, add pen",
                lambda kv: both(kv.set(key("cart")).add("lamp"), kv.set(key("cart")).add("pen")),
            ),
            lambda kv: kv.set(key("cart")).members(),
            lambda seen: seen == {"book", "lamp", "pen"},
            "an add wins against a remove that has not seen it",
        ),
        Scene(
            "rwset: one removes 'bob', the other adds him again",
            lambda kv: kv.rwset(key("admins")).add("ada", "bob"),
            ("remove bob", lambda kv: kv.rwset(key("admins")).remove("bob")),
            ("add bob", lambda kv: kv.rwset(key("admins")).add("bob")),
            lambda kv: kv.rwset(key("admins")).members(),
            lambda seen: seen == {"ada"},
            "a remove wins against an add that has not seen it",
        ),
        Scene(
            "gset: both add",
            nothing,
            ("add 1, 2", lambda kv: kv.gset(key("seen")).add(1, 2)),
            ("add 2, 3", lambda kv: kv.gset(key("seen")).add(2, 3)),
            lambda kv: kv.gset(key("seen")).members(),
            lambda seen: seen == {1, 2, 3},
            "it only grows",
        ),
        Scene(
            "flag: one disables, the other enables",
            lambda kv: kv.flag(key("beta")).enable(),
            ("disable", lambda kv: kv.flag(key("beta")).disable()),
            ("enable", lambda kv: kv.flag(key("beta")).enable()),
            lambda kv: kv.flag(key("beta")).is_on(),
            lambda seen: seen is True,
            "enable wins",
        ),
        Scene(
            "dwflag: one disables, the other enables",
            lambda kv: kv.dwflag(key("pay")).enable(),
            ("disable", lambda kv: kv.dwflag(key("pay")).disable()),
            ("enable", lambda kv: kv.dwflag(key("pay")).enable()),
            lambda kv: kv.dwflag(key("pay")).is_on(),
            lambda seen: seen is False,
            "disable wins",
        ),
        Scene(
            "maxreg and minreg: both set",
            nothing,
            ("set 7", lambda kv: both(kv.maxreg(key("t")).set(7), kv.minreg(key("t")).set(7))),
            ("set 2.5", lambda kv: both(kv.maxreg(key("t")).set(2.5), kv.minreg(key("t")).set(2.5))),
            lambda kv: asyncio.gather(kv.maxreg(key("t")).value(), kv.minreg(key("t")).value()),
            lambda seen: seen == [7, 2.5],
            "the greatest and the smallest of all",
        ),
        Scene(
            "hll: both count visitors, half of them the same",
            nothing,
            ("add visitors 0..999", lambda kv: kv.hll(key("visitors")).add(*range(1000))),
            ("add visitors 500..1499", lambda kv: kv.hll(key("visitors")).add(*range(500, 1500))),
            lambda kv: kv.hll(key("visitors")).count(),
            lambda seen: 1400 < seen < 1600,
            "each element counts once, to within a few percent",
        ),
        Scene(
            "board: one removes 'bob', the other scores for him; both score for 'ada'",
            lambda kv: both(kv.board(key("game")).set("ada", 10), kv.board(key("game")).set("bob", 20)),
            (
                "remove bob, ada +1",
                lambda kv: both(kv.board(key("game")).remove("bob"), kv.board(key("game")).increment("ada", 1)),
            ),
            (
                "bob +5, ada +2",
                lambda kv: both(kv.board(key("game")).increment("bob", 5), kv.board(key("game")).increment("ada", 2)),
            ),
            lambda kv: kv.board(key("game")).ranking(),
            lambda seen: seen == [("ada", 13), ("bob", 5)],
            "increments add up; who is removed keeps what was scored beside it",
        ),
        Scene(
            "map: one removes field 'cart', the other adds to it; both change other fields",
            lambda kv: both(
                kv.map(key("ada")).set("cart").add("book"), kv.map(key("ada")).counter("logins").increment(5)
            ),
            (
                "remove cart, name = Ada, logins +1",
                lambda kv: both(
                    kv.map(key("ada")).set("cart").delete(),
                    kv.map(key("ada")).register("name").put("Ada"),
                    kv.map(key("ada")).counter("logins").increment(),
                ),
            ),
            (
                "cart + lamp, logins +1",
                lambda kv: both(
                    kv.map(key("ada")).set("cart").add("lamp"), kv.map(key("ada")).counter("logins").increment()
                ),
            ),
            lambda kv: kv.map(key("ada")).value(),
            lambda seen: seen == {"cart": {"lamp"}, "name": "Ada", "logins": 7},
            "field by field; what was seen of a removed field goes, what was added beside it stays",
        ),
        Scene(
            "bcounter: 10 in stock, stocked here; both try to sell 8",
            lambda kv: kv.bcounter(key("stock")).increment(10),
            ("decrement 8", lambda kv: _sell(kv, key("stock"), 8)),
            ("decrement 8", lambda kv: _sell(kv, key("stock"), 8)),
            lambda kv: kv.bcounter(key("stock")).value(),
            lambda seen: seen == 2,
            "it never goes below 0: who can get no rights is refused",
            ("decrement 2", lambda kv: _sell(kv, key("stock"), 2)),
        ),
        Scene(
            "delete: one deletes the key, the other puts",
            lambda kv: kv.put(key("session"), "old"),
            ("delete", lambda kv: kv.delete(key("session"))),
            ("put 'new'", lambda kv: kv.put(key("session"), "new")),
            lambda kv: kv.get(key("session")),
            lambda seen: seen == "new",
            "a write beside a delete survives it",
        ),
    ]


async def _sell(kv: crdtkv.Client, key: str, amount: int) -> bool:
    try:
        await kv.bcounter(key).decrement(amount)
    except crdtkv.InsufficientRights as error:
        print(f"      {kv.datacenter}: InsufficientRights: {error}")
        return False
    return True


async def until(look: Callable[[], Awaitable[Any]], is_good: Callable[[Any], bool], what: str) -> Any:
    """Read until the result is right; return it.

    Raises:
        SystemExit: it does not become right.
    """
    deadline = time.monotonic() + PATIENCE_S
    while True:
        seen = await look()
        if is_good(seen):
            return seen
        if time.monotonic() > deadline:
            sys.exit(f"not as promised: {what}: {seen!r}")
        await asyncio.sleep(0.05)


async def show(config_file: Path, data: Path) -> None:
    """Run all scenes."""
    config = load(config_file)
    if len(config.datacenters) < 2:
        sys.exit("this needs a configuration with at least two data centers")
    one, other = list(config.datacenters)[:2]
    where = ["--config", str(config_file), "--data", str(data)]
    async with crdtkv.connect(config, datacenter=one) as here, crdtkv.connect(config, datacenter=other) as there:
        todo = scenes(f"run-{time.time():.0f}")
        for scene in todo:
            await scene.before(here)
        for scene in todo:
            wanted = await scene.look(here)
            await until(lambda: scene.look(there), lambda seen: seen == wanted, f"{scene.title}, before the cut")  # noqa: B023
        cut(["cut", one, other, *where])
        parted = []
        try:
            for scene in todo:
                await asyncio.gather(scene.here[1](here), scene.there[1](there))
                parted.append(await asyncio.gather(scene.look(here), scene.look(there)))
        finally:
            cut(["heal", one, other, *where])
        for scene, (mine, theirs) in zip(todo, parted, strict=True):
            print(f"\n{scene.title}")
            print(f"  cut apart  {one}: {scene.here[0]:<42} sees {mine!r}")
            print(f"             {other}: {scene.there[0]:<42} sees {theirs!r}")
            for kv in (here, there):
                seen = await until(lambda: scene.look(kv), scene.outcome, scene.title)  # noqa: B023
            print(f"  healed     both see {seen!r}: {scene.why}")
            if scene.after is not None:
                what, act = scene.after
                await until(lambda: act(there), bool, f"{scene.title}, then {what}")  # noqa: B023
                print(f"             {other}: {what:<42} works: it was given the rights")


def cut(arguments: list[str]) -> None:
    """Cut or heal the links with the program, and print that."""
    print(f"$ crdtkv {' '.join(arguments)}", flush=True)
    done = subprocess.run([sys.executable, "-m", "crdtkv.cli", *arguments], check=False)
    if done.returncode:
        sys.exit(done.returncode)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=Path("datacenters.yaml"))
    parser.add_argument("--data", type=Path, default=Path("crdtkv-data"), help="where `crdtkv up` keeps its data")
    options = parser.parse_args()
    asyncio.run(show(options.config, options.data))
