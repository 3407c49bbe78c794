"""How many threads `n_jobs` asks for."""

from __future__ import annotations

from typing import Optional

from joblib import effective_n_jobs

# As many as the program takes.
MOST = 4096


def threads_of(n_jobs: Optional[int]) -> int:
    """The threads of the engine: 0, which is every CPU that the process may use, for None and -1."""
    if n_jobs is None or n_jobs == -1:
        return 0
    threads = effective_n_jobs(n_jobs)
    if threads > MOST:
        raise ValueError(f"n_jobs: found {n_jobs}, expected at most {MOST}")
    return threads
