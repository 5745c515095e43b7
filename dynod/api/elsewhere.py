"""What Heroku's API has and this platform has not: a plain no, where `heroku drains:add` would hear that its path is unknown. Pure."""

import re

# The first that a path begins with counts.
_PLACES = (
    ("(/apps/[^/]+|/teams/[^/]+)?/(addons|addon-[^/]+|actions/addon[^/]*)", "add-ons"),
    ("/(client/v11|postgres/v0|redis/v0|data)/[^/]+", "add-ons for data"),
    ("/apps/[^/]+/log-drains", "log drains"),
    ("(/apps/[^/]+|/pipelines/[^/]+|/addons/[^/]+)/webhook[^/]*", "webhooks"),
    ("/(test-runs|test-nodes|pipelines/[^/]+/test-runs)", "continuous integration"),
    ("(/apps/[^/]+)?/review-app[^/]*|/pipelines/[^/]+/review-app[^/]*", "review apps"),
    ("(/apps/[^/]+)?/pipeline[^/]*|/filters/apps|/app-setups", "pipelines"),
    ("(/apps/[^/]+|/spaces/[^/]+)?/telemetry-drains", "telemetry drains"),
    ("/spaces|/space-[^/]+", "private spaces"),
    ("(/teams)?/apps/[^/]+/collaborators", "collaborators: an app has its owner alone"),
    ("/account/app-transfers|/teams/apps/[^/]+", "accounts but one, so that no app is transferred, shared or locked"),
    ("/teams|/organizations|/enterprise-accounts", "teams"),
    ("/account/keys", "SSH keys: git comes over HTTPS, with your token"),
    ("/oauth/[^/]+", "other sessions, clients and authorizations than your token"),
)  # fmt: skip
_KNOWN = tuple((re.compile(f"(?:{place})(?:/.*)?", re.ASCII), noun) for place, noun in _PLACES)


def absent(path: str) -> str | None:
    """Say that a thing of Heroku's is not here; None for a path that Heroku has not either."""
    noun = next((noun for place, noun in _KNOWN if place.fullmatch(path)), None)
    return None if noun is None else f"cannot do that: this platform has no {noun}"
