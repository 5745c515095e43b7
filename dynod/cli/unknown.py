"""What is said to who types a verb that is not there: a near one, or where Heroku's own is to be found."""

from collections.abc import Iterable
from difflib import get_close_matches

_NO_LOGIN = "nobody logs in here: root and the group dynod may do everything"
_OFFICIAL = 'the official heroku CLI has it, eval "$(dyno env)" turns it here'
_NOT_HERE = "nothing of it is here"

_FOREIGN = """
access addons ci clients container data drains keys local members orgs pg pipelines psql redis reviewapps sessions spaces teams
telemetry webhooks
"""
# Heroku's topics that are not ours. A near verb would lead astray.
_TOPICS = {
    **dict.fromkeys(("login", "logout", "auth:login", "auth:logout"), _NO_LOGIN),
    **dict.fromkeys(("authorizations", "buildpacks", "regions", "stack", "stacks", "status"), _OFFICIAL),
    **dict.fromkeys(_FOREIGN.split(), _NOT_HERE),
}


def hint(word: str, known: Iterable[str]) -> str:
    """Say what to do instead."""
    if word.startswith("-"):
        return "the verb comes first, then its flags; see dyno help"
    elsewhere = _TOPICS.get(word) or _TOPICS.get(word.partition(":")[0])
    if elsewhere:
        return elsewhere
    near = get_close_matches(word, known, n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else "see dyno help"
