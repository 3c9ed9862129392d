"""A shop in which orders are placed, worked on and folded all the time."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from world import World


@contextmanager
def at_work(world: World) -> Iterator[None]:
    """Placing, working and folding, in threads that stop at the end."""
    user, over = world.user(), threading.Event()
    for sku in ("BOWL", "CUP"):
        world.product(sku, on_hand=40)
    acts: list[Callable[[], object]] = [
        lambda: world.place(user, {"BOWL": 1, "CUP": 2}),
        lambda: world.place(user, {"CUP": 1}),
        world.work,
        world.work,
        world.fold_once,
    ]

    def again_and_again(act: Callable[[], object]) -> None:
        while not over.is_set():
            act()

    with ThreadPoolExecutor(len(acts)) as threads:
        working = [threads.submit(again_and_again, act) for act in acts]
        try:
            yield
        finally:
            over.set()
    for each in working:
        each.result()
