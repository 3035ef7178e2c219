"""Jobs in several processes, none of which can die unnoticed."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Optional, TypeVar

from rich.console import Console
from rich.progress import track

Job = TypeVar('Job')
Outcome = TypeVar('Outcome')


def in_processes(
    function: Callable[[Job], Outcome],
    jobs: Sequence[Job],
    workers: int,
    initializer: Optional[Callable[[], object]] = None,
) -> Iterator[tuple[Job, Outcome]]:
    """Yield each job with the function's result for it, as they are done.

    An error in the function ends the other jobs, too: those that have not begun are
    dropped, those that have are waited for.

    Args:
        function: Defined in a module, as other processes look it up by its name.
        jobs: What it is called with, one by one.
        workers: Processes. With one, or with one job, all is done in this process.
        initializer: Called by each other process before its first job.

    Raises:
        OSError: if a process is killed. A command that keeps finished work can be run
            again, as the message says.
    """
    if workers <= 1 or len(jobs) <= 1:
        for job in jobs:
            yield job, function(job)
        return
    # 'spawn' is safe in a process that already runs threads, which 'fork' is not
    context = multiprocessing.get_context('spawn')
    # unlike multiprocessing.Pool, it reports a process that is killed
    pool = ProcessPoolExecutor(min(workers, len(jobs)), context, initializer)
    try:
        futures = {pool.submit(function, job): job for job in jobs}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool:
        raise OSError('a process was killed; the same command goes on') from None
    finally:
        pool.shutdown(cancel_futures=True)


def with_progress(outcomes: Iterable[Outcome], total: int) -> Iterable[Outcome]:
    """Pass the outcomes for so many videos on, with a progress bar on stderr."""
    return track(outcomes, 'Videos', total, console=Console(stderr=True))
