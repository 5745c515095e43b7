"""THE table: every operation of the Platform API, its path, who may, and what answers. http.py and rpc.py serve these rows and no others.

Names are what the unix socket calls them. Reading it from top to bottom shows the whole surface; to add an operation, add a row.
"""

import re

from dynod.api import (
    accounts,
    apps,
    buildpacks,
    builds,
    catalogue,
    config,
    domains,
    dynos,
    features,
    formation,
    lab,
    logs,
    metrics,
    releases,
    slugs,
)
from dynod.api.operation import Access, Operation, Stream

_PUBLIC, _ACCOUNT, _VIEW = Access.PUBLIC, Access.ACCOUNT, Access.VIEW
_DEPLOY, _OPERATE, _MANAGE = Access.DEPLOY, Access.OPERATE, Access.MANAGE
_APP = "/apps/{app}"
_RELEASE = ("version", "id")

# fmt: off
OPERATIONS: tuple[Operation, ...] = (
    # who
    Operation("account.info", "GET", "/account", _ACCOUNT, 200, accounts.info),
    Operation("account.self", "GET", "/users/~", _ACCOUNT, 200, accounts.info),
    Operation("account.rate-limits", "GET", "/account/rate-limits", _ACCOUNT, 200, accounts.rate_limits),
    Operation("account.quota", "GET", "/accounts/{account}/actions/get-quota", _ACCOUNT, 200, accounts.quota),
    Operation("account.features", "GET", "/account/features", _ACCOUNT, 200, accounts.features, ("name", "id")),
    Operation("account.feature", "GET", "/account/features/{feature}", _ACCOUNT, 200, accounts.feature),
    Operation("account.feature.update", "PATCH", "/account/features/{feature}", _ACCOUNT, 200, accounts.feature),
    Operation("authorizations.create", "POST", "/oauth/authorizations", _ACCOUNT, 201, accounts.authorize),
    Operation("authorizations.list", "GET", "/oauth/authorizations", _ACCOUNT, 200, accounts.authorizations, ("id",)),
    Operation("authorizations.info", "GET", "/oauth/authorizations/{authorization}", _ACCOUNT, 200, accounts.authorization),
    Operation("sessions.end", "DELETE", "/oauth/sessions/~", _ACCOUNT, 200, accounts.end_session),
    Operation("teams.list", "GET", "/teams", _ACCOUNT, 200, accounts.teams, ("name", "id")),
    # the machine
    Operation("regions.list", "GET", "/regions", _ACCOUNT, 200, catalogue.regions, ("name", "id")),
    Operation("regions.info", "GET", "/regions/{region}", _ACCOUNT, 200, catalogue.region),
    Operation("stacks.list", "GET", "/stacks", _ACCOUNT, 200, catalogue.stacks, ("name", "id")),
    Operation("stacks.info", "GET", "/stacks/{stack}", _ACCOUNT, 200, catalogue.stack),
    Operation("sizes.list", "GET", "/dyno-sizes", _ACCOUNT, 200, catalogue.sizes, ("name", "id")),
    Operation("sizes.info", "GET", "/dyno-sizes/{size}", _ACCOUNT, 200, catalogue.size),
    Operation("status.info", "GET", "/api/v4/current-status", _PUBLIC, 200, catalogue.status),
    Operation("buildpacks.lookup", "GET", "/buildpacks/{buildpack}", _PUBLIC, 200, buildpacks.lookup),
    # apps
    Operation("apps.list", "GET", "/apps", _ACCOUNT, 200, apps.index, ("name", "id")),
    Operation("apps.mine", "GET", "/users/~/apps", _ACCOUNT, 200, apps.index, ("name", "id")),
    Operation("apps.create", "POST", "/apps", _ACCOUNT, 201, apps.create),
    Operation("apps.info", "GET", _APP, _VIEW, 200, apps.info),
    Operation("apps.update", "PATCH", _APP, _MANAGE, 200, apps.update),
    Operation("apps.destroy", "DELETE", _APP, _MANAGE, 200, apps.destroy),
    Operation("apps.addons", "GET", _APP + "/addons", _VIEW, 200, apps.addons, ("name", "id")),
    Operation("apps.attachments", "GET", _APP + "/addon-attachments", _VIEW, 200, apps.addons, ("name", "id")),
    Operation("addons.list", "GET", "/addons", _ACCOUNT, 200, apps.addons, ("name", "id")),
    Operation("attachments.list", "GET", "/addon-attachments", _ACCOUNT, 200, apps.addons, ("name", "id")),
    Operation("apps.collaborators", "GET", _APP + "/collaborators", _VIEW, 200, apps.collaborators, ("id",)),
    Operation("apps.coupling", "GET", _APP + "/pipeline-couplings", _VIEW, 200, apps.coupling),
    # names and certificates
    Operation("domains.list", "GET", _APP + "/domains", _VIEW, 200, domains.index, ("hostname", "id")),
    Operation("domains.info", "GET", _APP + "/domains/{domain}", _VIEW, 200, domains.info),
    Operation("domains.create", "POST", _APP + "/domains", _MANAGE, 201, domains.create),
    Operation("domains.update", "PATCH", _APP + "/domains/{domain}", _MANAGE, 200, domains.update),
    Operation("domains.remove", "DELETE", _APP + "/domains/{domain}", _MANAGE, 200, domains.remove),
    Operation("sni-endpoints.list", "GET", _APP + "/sni-endpoints", _MANAGE, 200, domains.endpoints, ("name", "id")),
    Operation("sni-endpoints.info", "GET", _APP + "/sni-endpoints/{endpoint}", _MANAGE, 200, domains.endpoint),
    Operation("sni-endpoints.create", "POST", _APP + "/sni-endpoints", _MANAGE, 201, domains.add_endpoint),
    Operation("sni-endpoints.update", "PATCH", _APP + "/sni-endpoints/{endpoint}", _MANAGE, 200, domains.update_endpoint),
    Operation("sni-endpoints.remove", "DELETE", _APP + "/sni-endpoints/{endpoint}", _MANAGE, 200, domains.remove_endpoint),
    Operation("acm.enable", "POST", _APP + "/acm", _MANAGE, 201, domains.acm_on),
    Operation("acm.disable", "DELETE", _APP + "/acm", _MANAGE, 200, domains.acm_off),
    Operation("acm.refresh", "PATCH", _APP + "/acm", _MANAGE, 200, domains.acm_refresh),
    # features
    Operation("features.list", "GET", _APP + "/features", _VIEW, 200, features.index, ("name", "id")),
    Operation("features.info", "GET", _APP + "/features/{feature}", _VIEW, 200, features.info),
    Operation("features.update", "PATCH", _APP + "/features/{feature}", _OPERATE, 200, features.update),
    # config and releases
    Operation("config.info", "GET", _APP + "/config-vars", _DEPLOY, 200, config.info),
    Operation("config.update", "PATCH", _APP + "/config-vars", _DEPLOY, 200, config.update),
    Operation("config.of-release", "GET", _APP + "/releases/{release}/config-vars", _DEPLOY, 200, config.of_release),
    Operation("releases.list", "GET", _APP + "/releases", _VIEW, 200, releases.index, _RELEASE),
    Operation("releases.info", "GET", _APP + "/releases/{release}", _VIEW, 200, releases.info),
    Operation("releases.create", "POST", _APP + "/releases", _DEPLOY, 201, releases.create),
    # builds and slugs
    Operation("sources.create", "POST", "/sources", _ACCOUNT, 201, builds.create_source),
    Operation("builds.list", "GET", _APP + "/builds", _VIEW, 200, builds.index, ("created_at", "id")),
    Operation("builds.create", "POST", _APP + "/builds", _DEPLOY, 201, builds.create),
    Operation("builds.info", "GET", _APP + "/builds/{build}", _VIEW, 200, builds.info),
    Operation("builds.clear-cache", "DELETE", _APP + "/build-cache", _DEPLOY, 200, builds.clear_cache),
    Operation("buildpacks.list", "GET", _APP + "/buildpack-installations", _VIEW, 200, buildpacks.index, ("ordinal",)),
    Operation("buildpacks.update", "PUT", _APP + "/buildpack-installations", _DEPLOY, 200, buildpacks.update, ("ordinal",)),
    Operation("slugs.create", "POST", _APP + "/slugs", _DEPLOY, 201, slugs.create),
    Operation("slugs.info", "GET", _APP + "/slugs/{slug}", _DEPLOY, 200, slugs.info),
    # formation and dynos
    Operation("formation.list", "GET", _APP + "/formation", _VIEW, 200, formation.index, ("type", "id")),
    Operation("formation.info", "GET", _APP + "/formation/{type}", _VIEW, 200, formation.info),
    Operation("formation.update", "PATCH", _APP + "/formation", _OPERATE, 200, formation.update, ("type", "id")),
    Operation("formation.update-one", "PATCH", _APP + "/formation/{type}", _OPERATE, 200, formation.update_one),
    Operation("dynos.list", "GET", _APP + "/dynos", _VIEW, 200, dynos.index, ("name", "id")),
    Operation("dynos.create", "POST", _APP + "/dynos", _DEPLOY, 201, dynos.create),
    Operation("dynos.info", "GET", _APP + "/dynos/{dyno}", _VIEW, 200, dynos.info),
    Operation("metrics.router", "GET", _APP + "/router-metrics", _VIEW, 200, metrics.router),
    Operation("dynos.why", "GET", _APP + "/dynos/{dyno}/why", _VIEW, 200, dynos.why),
    Operation("dynos.autopsy", "GET", _APP + "/dynos/{dyno}/autopsy", _VIEW, 200, dynos.autopsy),
    Operation("dynos.run-inside", "POST", _APP + "/dynos/{dyno}", _DEPLOY, 201, dynos.run_inside),
    Operation("dynos.forward-url", "POST", _APP + "/dynos/{dyno}/actions/forward", _DEPLOY, 201, dynos.forward_url),
    Operation("dynos.restart-all", "DELETE", _APP + "/dynos", _OPERATE, 202, dynos.restart_all),
    Operation("dynos.restart", "DELETE", _APP + "/dynos/{dyno}", _OPERATE, 202, dynos.restart_one),
    Operation("dynos.restart-type", "DELETE", _APP + "/formations/{type}", _OPERATE, 202, dynos.restart_type),
    Operation("dynos.stop", "POST", _APP + "/dynos/{dyno}/actions/stop", _OPERATE, 202, dynos.stop_one),
    Operation("dynos.stop-type", "POST", _APP + "/formations/{type}/actions/stop", _OPERATE, 202, dynos.stop_type),
    # logs
    Operation("logs.create", "POST", _APP + "/log-sessions", _VIEW, 201, logs.create),
)

STREAMS: tuple[Stream, ...] = (
    Stream("builds.push", ("app",), _DEPLOY, builds.push),
    Stream("builds.output", ("app", "build"), _VIEW, builds.output),
    Stream("releases.output", ("app", "release"), _VIEW, releases.output),
    Stream("logs.read", ("app",), _VIEW, logs.read),
    Stream("dynos.attach", ("app",), _DEPLOY, dynos.attach),
    Stream("dynos.exec", ("app", "dyno"), _DEPLOY, dynos.exec_inside),
    Stream("dynos.forward", ("app", "dyno"), _DEPLOY, dynos.forward),
    Stream("dynos.explain", ("app", "dyno"), _VIEW, dynos.explain),
    Stream("lab.advance", (), _ACCOUNT, lab.advance),
)
# fmt: on

_PARAMETER = re.compile(r"\{([a-z]+)\}")


def parameters(path: str) -> tuple[str, ...]:
    """Return the names in a path's braces."""
    return tuple(_PARAMETER.findall(path))
