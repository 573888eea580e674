"""The system's limit of open files, which limits how many clients can be connected."""

import resource

RESERVED = 32  # files besides the clients' connections (CONFIG_MIN_RESERVED_FDS)


def room_for(clients: int) -> int:
    """Raise the limit of open files as far as `clients` connections need (`adjustOpenFilesLimit`).

    Return how many clients the limit allows now: `clients`, or fewer if the system does not let us raise it that far.
    """
    wanted = clients + RESERVED
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return clients
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return clients if allowed == wanted else max(allowed - RESERVED, 1)
