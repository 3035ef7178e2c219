"""Jobs in several processes, of which none can die unnoticed."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Optional, TypeVar

Job = TypeVar('Job')
Outcome = TypeVar('Outcome')


def in_processes(
    function: Callable[[Job], Outcome],
    jobs: Sequence[Job],
    workers: int,
    initializer: Optional[Callable[[], object]] = None,
) -> Iterator[tuple[Job, Outcome]]:
    """Jobs with what a function gives for them, as they are done.

    An error of the function ends the others, too: the jobs that have not begun are
    dropped, those that have are waited for.

    Args:
        function: Of a module, for other processes look it up by its name.
        jobs: What it is called with, one by one.
        workers: Processes. With one, or with one job, all is done in this process.
        initializer: What each other process calls before its first job.

    Raises:
        OSError: if a process is killed. A command that keeps what is done may be given
            again, as the message says.
    """
    if workers <= 1 or len(jobs) <= 1:
        for job in jobs:
            yield job, function(job)
        return
    # 'spawn' is safe in a process that already runs threads, which 'fork' is not
    context = multiprocessing.get_context('spawn')
    # unlike multiprocessing.Pool, it tells of a process that is killed
    pool = ProcessPoolExecutor(min(workers, len(jobs)), context, initializer)
    try:
        futures = {pool.submit(function, job): job for job in jobs}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool:
        raise OSError('a process was killed; the same command goes on') from None
    finally:
        pool.shutdown(cancel_futures=True)
