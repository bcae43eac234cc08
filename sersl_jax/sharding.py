"""One mesh with axes (member, data) over all devices of all processes; the same code on one."""

import itertools
import math
import os
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

T = TypeVar("T")


def use_cores(*batch_sizes: int) -> None:
    """Makes each CPU core (8 at most) a JAX device of its own; to be called before JAX starts.

    Batches are then divided over cores as over GPUs. With all cores in one device, XLA's threads
    leave them idle for a third of the time. Not for runs of several processes.
    """
    cores = min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1, 8)
    while any(size % cores for size in batch_sizes):
        cores -= 1
    jax.config.update("jax_num_cpu_devices", cores)


def keep_programs() -> None:
    """Keeps compiled programs on disk, in the user's cache folder, for the next command."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    jax.config.update("jax_compilation_cache_dir", str(Path(cache, "sersl_jax", "xla")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def in_turn(out: T) -> T:
    """Returns `out`, on CPU devices only once it is computed.

    CPU devices share one pool of threads, and a program on several devices needs a thread for each.
    Programs that run at the same time may take all threads while each waits for more of them, until
    XLA's all-reduce gives up after 40 s: so each starts when the one before has ended.
    """
    return jax.block_until_ready(out) if jax.default_backend() == "cpu" else out


def create_mesh(num_members: int, batch_size: int) -> Mesh:
    """Divides members over the devices first (no traffic), then batches.

    Raises ValueError where neither divides evenly.
    """
    devices = jax.device_count()
    members = math.gcd(num_members, devices)
    if batch_size % (devices // members):
        raise ValueError(
            f"batch_size={batch_size} does not divide over {devices // members} devices "
            f"({devices} in all, {members} used for members): take a multiple"
        )
    return jax.make_mesh(
        (members, devices // members), ("member", "data"), axis_types=(AxisType.Auto,) * 2
    )


def put(tree: Any, mesh: Mesh, *axes: str | None) -> Any:
    """Places host arrays on the mesh, leading dimensions divided over `axes`.

    Every process holds the whole host array and keeps its devices' parts.
    """
    sharding = NamedSharding(mesh, PartitionSpec(*axes))

    def place(leaf: Any) -> jax.Array:
        if jax.process_count() == 1:
            return jax.device_put(leaf, sharding)
        leaf = np.asarray(leaf)
        with jax.transfer_guard("allow"):  # as explicit as the `device_put` above
            return jax.make_array_from_callback(leaf.shape, sharding, lambda part: leaf[part])

    return jax.tree.map(place, tree)


def fetch(tree: Any) -> Any:
    """Host copies of arrays that are spread over devices and processes."""
    if jax.process_count() == 1:
        return jax.device_get(tree)
    with jax.transfer_guard("allow"):
        return multihost_utils.process_allgather(tree, tiled=True)


def any_process(flag: bool) -> bool:
    """True on all processes if `flag` is true on any, so that all decide alike."""
    if jax.process_count() == 1:
        return flag
    with jax.transfer_guard("allow"):
        return bool(multihost_utils.process_allgather(np.array(flag)).any())


def wait_for_all() -> None:
    """Returns when every process has called it, at most a day later.

    Preparing and scoring take longer on the first process than the half minute after which
    collective operations give up.
    """
    if jax.process_count() > 1:
        from orbax.checkpoint import multihost  # slow, and rarely needed

        wait = multihost.get_barrier_sync_fn()
        wait(key=f"sersl_jax_{next(_barriers)}", timeout_ms=24 * 3600 * 1000)


_barriers = itertools.count()


def free_memory() -> int:
    """Bytes free on the first device of the process that has least, so that all decide alike.

    Of CPU devices, each one's share of half the memory.
    """
    stats = jax.local_devices()[0].memory_stats()
    if stats:
        free = stats["bytes_limit"] - stats["bytes_in_use"]
    else:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        free = memory // 2 // jax.local_device_count()
    if jax.process_count() == 1:
        return free
    with jax.transfer_guard("allow"):  # JAX has no int64 by default
        return int(multihost_utils.process_allgather(np.float32(free)).min())
