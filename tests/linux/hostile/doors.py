"""The hostile program: it runs in a dyno, tries every door it knows, and prints each that opened. Expected: none.

doors.py JSON: what the test knows of the world outside (its addresses, paths, names), as one argument.
The last line is JSON: {"tried": [names], "opened": [names], "broken": [names]}; --list prints the names alone.
"""

import json
import sys

import files
import kernel
import namespaces
import network
import processes
import rights
from door import BROKEN, CONFIG, DOORS, OPEN, attempt, say

KINDS = (files, kernel, namespaces, network, processes, rights)


def main():
    if sys.argv[1] == "--list":
        say("\n".join(DOORS))
        return
    CONFIG.update(json.loads(sys.argv[1]))
    outcomes = {}
    for name in DOORS:
        outcomes[name] = attempt(name)
        if outcomes[name] == OPEN:
            say(name)
    opened = [name for name, outcome in outcomes.items() if outcome == OPEN]
    broken = [name for name, outcome in outcomes.items() if outcome == BROKEN]
    say(f"{len(outcomes)} doors tried; opened: {len(opened) or 'none'}")
    say(json.dumps({"tried": list(outcomes), "opened": opened, "broken": broken}))


main()
