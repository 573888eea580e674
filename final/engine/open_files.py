"""How many clients the system has open files for."""

import resource

OWN_FILES = 32  # files that are open beside those of the clients


def room_for(clients: int) -> int:
    """Have the system allow as many open files as so many clients need; tell how many clients it allows then."""
    wanted = clients + OWN_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return clients
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return clients if allowed == wanted else max(allowed - OWN_FILES, 1)
