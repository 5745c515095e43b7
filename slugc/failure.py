"""Why a build ended without a slug: the one exception that the pusher reads. Anything else that is raised is a bug of ours."""


class BuildFailed(Exception):
    """`str(error)` is the text for the pusher, whole lines in the transcript's own form (slugc/output.py makes them)."""
