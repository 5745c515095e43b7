"""What time it is: one monotonic reading for deadlines, one of the wall for people.

CLOCK_BOOTTIME goes on through suspend and is the same for every process of one boot, so deadlines outlive a restart of the
daemon and no jump of the wall clock moves them. After a reboot there are no dynos whose deadlines could be wrong.
"""

import time

from dynod.core.lifecycle import Now


def now() -> Now:
    """Read both clocks."""
    return Now(time.clock_gettime(time.CLOCK_BOOTTIME), time.time())
