"""What a dyno is told about itself where the app asked for it: HEROKU_APP_NAME and its like (HEROKU.md 1.4, row "dyno metadata"). Pure.

Way in: `of_dyno` for whatever is launched, `of_build` for a build's ENV_DIR, where the release is the one that runs meanwhile. Nobody else can
set such names: core/config_vars.py refuses them.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

from dynod.core.changes import deploy_description
from dynod.core.ledger import AppState
from dynod.model.domain import own_hostname
from dynod.model.dyno import DynoId
from dynod.model.release import Release, Slug

DYNO = "runtime-dyno-metadata"  # the app features
BUILD = "runtime-dyno-build-metadata"


def of_dyno(state: AppState, release: Release, dyno: DynoId, domain: str) -> Mapping[str, str]:
    """What a dyno of this release finds in its environment; nothing, unless the app has a feature for it."""
    slug = state.slug_of(release)
    told = {}
    if state.features.get(DYNO):
        told = {**_app(state, domain), "HEROKU_DYNO_ID": dyno, **_release(state, release, slug)}
    if state.features.get(BUILD) and slug is not None:
        told |= _build(slug.commit, _described(state, slug))
    return told


def of_build(state: AppState, commit: str, domain: str) -> Mapping[str, str]:
    """What a build of `commit` finds, the release that runs meanwhile included."""
    told = {}
    if state.features.get(DYNO):
        told = {**_app(state, domain)}
        if (current := state.current) is not None:
            told |= _release(state, current, state.slug_of(current))
    if state.features.get(BUILD):
        told |= _build(commit, deploy_description(commit))
    return told


def _app(state: AppState, domain: str) -> dict[str, str]:
    return {
        "HEROKU_APP_ID": state.app.id,
        "HEROKU_APP_NAME": state.app.name,
        "HEROKU_APP_DEFAULT_DOMAIN_NAME": own_hostname(state.app.name, domain),
    }


def _release(state: AppState, release: Release, slug: Slug | None) -> dict[str, str]:
    created = datetime.fromtimestamp(release.created_at, UTC)
    told = {
        "HEROKU_RELEASE_CREATED_AT": f"{created:%Y-%m-%dT%H:%M:%SZ}",
        "HEROKU_RELEASE_VERSION": f"v{release.version}",
    }
    if slug is not None:
        told |= {"HEROKU_SLUG_COMMIT": slug.commit, "HEROKU_SLUG_DESCRIPTION": _described(state, slug)}
    return told


def _build(commit: str, description: str) -> dict[str, str]:
    return {"HEROKU_BUILD_COMMIT": commit, "HEROKU_BUILD_DESCRIPTION": description}


def _described(state: AppState, slug: Slug) -> str:
    """How the release that brought this slug was described: a later one with other config vars is no deploy."""
    return next(each.description for each in state.releases if each.slug == slug.id)
