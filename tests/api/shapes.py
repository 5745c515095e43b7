"""What every row of the table answers: each field and what may stand in it, as Platform API v3 has it and its clients read it.

A table of our own, so that no schema is needed beside it. `of` checks an answer; Whole.ask (served.py) does so with each answer that any test
gets, and tests/e2e/test_heroku_shapes.py with those of a whole platform. Fields are told exactly: one that is lost, added or of another
kind is a failure.
"""

import re
from typing import Any

from dynod.api.operations import OPERATIONS, parameters
from tests.api.shaping import AtLeast, Kind, Many, Moment, Named, OneOf, Text, fault, maybe

TEXT, NAME, SAID = Text(), Text(r".+"), Text(r"(?s).+")  # SAID: by a client, who may say it in lines
UUID = Text(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
EMAIL = Text(r"[^@\s]+@[^@\s]+")
APP_NAME = Text(r"[a-z][a-z0-9-]{1,28}[a-z0-9]")
ENDPOINT_NAME = Text(r"[a-z][a-z0-9-]{2,29}")
TYPE = Text(r"[-A-Za-z0-9_]{1,128}")
HTTPS = Text(r"https://\S+")
FLAG, WHOLE, NUMBER, TIME = Kind((bool,)), Kind((int,)), Kind((int, float)), Moment()


# -- the resources --------------------------------------------------------------------------------------------------

BY_NAME = {"id": UUID, "name": NAME}
OF_APP = {"id": UUID, "name": APP_NAME}
WHO = {"id": UUID, "email": EMAIL}
STAMPS = {"created_at": TIME, "updated_at": TIME}

ACCOUNT = {
    "id": UUID,
    **STAMPS,
    "acknowledged_msa": FLAG,
    "allow_tracking": FLAG,
    "beta": FLAG,
    "country_of_residence": maybe(TEXT),
    "default_organization": None,
    "default_team": None,
    "delinquent_at": None,
    "email": EMAIL,
    "federated": FLAG,
    "identity_provider": None,
    "last_login": maybe(TIME),
    "name": maybe(NAME),
    "sms_number": None,
    "suspended_at": None,
    "two_factor_authentication": FLAG,
    "verified": FLAG,
}

APP = {
    **OF_APP,
    **STAMPS,
    "acm": FLAG,
    "archived_at": None,
    "build_stack": BY_NAME,
    "buildpack_provided_description": maybe(SAID),
    "create_status": "complete",
    "database_size": None,
    "generation": {"id": UUID, "name": "cedar"},
    "git_url": Text(r"https://\S+/[a-z][a-z0-9-]{1,28}[a-z0-9]\.git"),
    "internal_routing": FLAG,
    "locked": FLAG,
    "maintenance": FLAG,
    "organization": None,
    "owner": WHO,
    "process_tier": OneOf(("eco", "basic", "production")),
    "region": BY_NAME,
    "released_at": maybe(TIME),
    "repo_size": maybe(WHOLE),
    "slug_size": maybe(WHOLE),
    "space": None,
    "stack": BY_NAME,
    "team": None,
    "web_url": Text(r"https?://[a-z][a-z0-9-]{1,28}[a-z0-9]\.\S+/"),
}

AUTHORIZATION = {
    "id": UUID,
    **STAMPS,
    "access_token": {"id": UUID, "token": NAME, "expires_in": maybe(WHOLE)},
    "client": None,
    "description": SAID,
    "grant": None,
    "refresh_token": None,
    "scope": Many(TEXT),
    "session": None,
    "user": {**WHO, "full_name": maybe(NAME)},
}

BUILD = {
    "id": UUID,
    **STAMPS,
    "app": {"id": UUID},
    "buildpacks": maybe(Many({"name": SAID, "url": SAID})),
    "output_stream_url": HTTPS,
    "release": maybe({"id": UUID}),
    "slug": maybe({"id": UUID}),
    "source_blob": {
        "checksum": maybe(SAID),
        "url": TEXT,
        "version": maybe(SAID),
        "version_description": maybe(SAID),
    },
    "stack": NAME,
    "status": OneOf(("failed", "pending", "succeeded")),
    "user": WHO,
}

BUILDPACK = {"buildpack": {"name": SAID, "url": SAID}, "ordinal": WHOLE}

COLLABORATOR = {
    "id": UUID,
    **STAMPS,
    "app": OF_APP,
    "permissions": Many({"name": OneOf(("deploy", "manage", "operate", "view")), "description": NAME}),
    "role": OneOf((None, "admin", "collaborator", "member", "owner")),
    "user": {**WHO, "federated": FLAG},
}

CONFIG = Named(TEXT)

DOMAIN = {
    "id": UUID,
    **STAMPS,
    "acm_status": maybe(NAME),
    "acm_status_reason": maybe(NAME),
    "app": OF_APP,
    "cname": maybe(NAME),
    "hostname": NAME,
    "kind": OneOf(("heroku", "custom")),
    "sni_endpoint": maybe({"id": UUID, "name": ENDPOINT_NAME}),
    "status": NAME,
}

DYNO = {
    "id": UUID,
    **STAMPS,
    "app": OF_APP,
    "attach_url": maybe(Text(r"rendezvous://\S+:[0-9]+/\S+")),
    "command": TEXT,
    "name": Text(r"[-A-Za-z0-9_]{1,128}\.[0-9]+"),
    "release": {"id": UUID, "version": WHOLE},
    "size": NAME,
    "state": OneOf(("starting", "up", "crashed", "idle", "down")),
    "type": TYPE,
}

EXTENDED = {
    "app_id": UUID,
    "az": None,
    "execution_plane": None,
    "fleet": None,
    "instance_id": None,
    "ip": None,
    "port": None,
    "region": NAME,
    "route": None,
}

FEATURE = {
    "id": UUID,
    **STAMPS,
    "description": NAME,
    "display_name": NAME,
    "doc_url": TEXT,
    "enabled": FLAG,
    "feedback_email": TEXT,
    "name": NAME,
    "state": OneOf(("general", "labs")),
}

FORMATION = {
    "id": UUID,
    **STAMPS,
    "app": OF_APP,
    "command": SAID,
    "dyno_size": BY_NAME,
    "quantity": WHOLE,
    "size": NAME,
    "type": TYPE,
}

LOG_SESSION = {"id": UUID, **STAMPS, "logplex_url": HTTPS}

QUOTA = {
    "id": UUID,
    "account_quota": WHOLE,
    "quota_used": WHOLE,
    "apps": Many({"app_uuid": NAME, "quota_used": WHOLE}),
}

REGION = {
    **BY_NAME,
    **STAMPS,
    "country": NAME,
    "description": NAME,
    "locale": NAME,
    "private_capable": FLAG,
    "provider": {"name": NAME, "region": NAME},
}

RELEASE = {
    "id": UUID,
    **STAMPS,
    "addon_plan_names": Many(NAME),
    "app": OF_APP,
    "artifacts": Many(BY_NAME),
    "current": FLAG,
    "description": SAID,
    "eligible_for_rollback": FLAG,
    "output_stream_url": maybe(HTTPS),
    "slug": maybe({"id": UUID}),
    "status": OneOf(("expired", "failed", "pending", "succeeded")),
    "user": WHO,
    "version": WHOLE,
}

SIZE = {
    **BY_NAME,
    "architecture": "cedar",
    "compute": WHOLE,
    "cost": maybe({"cents": WHOLE, "unit": "month"}),
    "dedicated": FLAG,
    "dyno_units": WHOLE,
    "generation": {"id": UUID, "name": "cedar"},
    "memory": NUMBER,
    "precise_dyno_units": NUMBER,
    "private_space_only": FLAG,
}

SLUG = {
    "id": UUID,
    **STAMPS,
    "blob": {"method": OneOf(("get", "put")), "url": HTTPS},
    "buildpack_provided_description": maybe(SAID),
    "checksum": maybe(Text(r"SHA256:[0-9a-f]{64}")),
    "commit": maybe(SAID),
    "commit_description": maybe(SAID),
    "process_types": Named(SAID),
    "size": maybe(WHOLE),
    "stack": BY_NAME,
}

SNI_ENDPOINT = {
    "id": UUID,
    **STAMPS,
    "app": OF_APP,
    "certificate_chain": Text(r"(?s)-----BEGIN CERTIFICATE-----.+-----END CERTIFICATE-----\n*"),
    "display_name": maybe(ENDPOINT_NAME),
    "domains": Many(UUID),
    "name": ENDPOINT_NAME,
    "ssl_cert": {
        "id": UUID,
        "acm": FLAG,
        "ca_signed?": FLAG,
        "cert_domains": Many(NAME),
        "expires_at": TIME,
        "issuer": NAME,
        "self_signed?": FLAG,
        "starts_at": TIME,
        "subject": TEXT,
    },
}

SOURCE = {"source_blob": {"get_url": HTTPS, "put_url": HTTPS}}
STACK = {**BY_NAME, **STAMPS, "default": FLAG, "state": "public"}

STATUS = {
    "status": Many({"system": NAME, "status": OneOf(("green", "yellow", "red"))}),
    "incidents": Many(NAME),
    "scheduled": Many(NAME),
}

# Ours alone.
CAUSE = {"app": OF_APP, "created_at": TIME, "dyno": {"id": NAME, "name": NAME}, "event": NAME, "reason": TEXT}
AUTOPSY = AtLeast(
    {
        "app": OF_APP,
        "cause": NAME,
        "command": TEXT,
        "created_at": TIME,
        "died_at": TIME,
        "dyno": {"id": NAME, "name": NAME},
        "exit_status": maybe(WHOLE),
        "files": Many({"path": NAME, "kind": NAME, "size": maybe(WHOLE)}),
        "files_truncated": FLAG,
        "lines": Many(TEXT),
        "memory_peak": maybe(WHOLE),
        "release": {"version": WHOLE},
        "size": NAME,
        "state": NAME,
    }
)
METRICS = AtLeast({"app": OF_APP, "in_flight": WHOLE, "since": TIME})

PROBLEM = {"id": Text(r"[a-z_]+"), "message": NAME}

# What each row answers, by its name. None: it never does anything but refuse.
ANSWERS: dict[str, Any] = {
    "account.info": ACCOUNT,
    "account.self": ACCOUNT,
    "account.rate-limits": {"remaining": WHOLE},
    "account.quota": QUOTA,
    "account.features": Many(FEATURE),
    "account.feature": None,
    "account.feature.update": None,
    "authorizations.create": AUTHORIZATION,
    "authorizations.list": Many(AUTHORIZATION),
    "authorizations.info": AUTHORIZATION,
    "sessions.end": {},
    "teams.list": Many({}),
    "regions.list": Many(REGION),
    "regions.info": REGION,
    "stacks.list": Many(STACK),
    "stacks.info": STACK,
    "sizes.list": Many(SIZE),
    "sizes.info": SIZE,
    "status.info": STATUS,
    "buildpacks.lookup": {**BY_NAME, "blob_url": NAME},
    "apps.list": Many(APP),
    "apps.mine": Many(APP),
    "apps.create": APP,
    "apps.info": APP,
    "apps.update": APP,
    "apps.destroy": APP,
    "apps.addons": Many({}),
    "apps.attachments": Many({}),
    "addons.list": Many({}),
    "attachments.list": Many({}),
    "apps.collaborators": Many(COLLABORATOR),
    "apps.coupling": None,
    "domains.list": Many(DOMAIN),
    "domains.info": DOMAIN,
    "domains.create": DOMAIN,
    "domains.update": DOMAIN,
    "domains.remove": DOMAIN,
    "sni-endpoints.list": Many(SNI_ENDPOINT),
    "sni-endpoints.info": SNI_ENDPOINT,
    "sni-endpoints.create": SNI_ENDPOINT,
    "sni-endpoints.update": SNI_ENDPOINT,
    "sni-endpoints.remove": SNI_ENDPOINT,
    "acm.enable": APP,
    "acm.disable": APP,
    "acm.refresh": APP,
    "features.list": Many(FEATURE),
    "features.info": FEATURE,
    "features.update": FEATURE,
    "config.info": CONFIG,
    "config.update": CONFIG,
    "config.of-release": CONFIG,
    "releases.list": Many(RELEASE),
    "releases.info": RELEASE,
    "releases.create": RELEASE,
    "sources.create": SOURCE,
    "builds.list": Many(BUILD),
    "builds.create": BUILD,
    "builds.info": BUILD,
    "builds.clear-cache": {},
    "buildpacks.list": Many(BUILDPACK),
    "buildpacks.update": Many(BUILDPACK),
    "slugs.create": SLUG | {"checksum": maybe(SAID), "stack": {"id": UUID, "name": SAID}},
    "slugs.info": SLUG,
    "formation.list": Many(FORMATION),
    "formation.info": FORMATION,
    "formation.update": Many(FORMATION),
    "formation.update-one": FORMATION,
    "dynos.list": Many(OneOf((DYNO, {**DYNO, "extended": EXTENDED}))),
    "dynos.create": DYNO,
    "dynos.info": DYNO,
    "metrics.router": METRICS,
    "dynos.why": Many(CAUSE),
    "dynos.autopsy": Many(AUTOPSY),
    "dynos.run-inside": DYNO,
    "dynos.forward-url": DYNO,
    "dynos.restart-all": {},
    "dynos.restart": {},
    "dynos.restart-type": {},
    "dynos.stop": {},
    "dynos.stop-type": {},
    "logs.create": LOG_SESSION,
}

_PLACES = [
    (row, re.compile(row.path.format(**dict.fromkeys(parameters(row.path), "[^/?]+")) + r"(?:\?.*)?"))
    for row in OPERATIONS
]


def of(method: str, path: str, status: int, body: Any) -> str:
    """Say what is wrong with an answer of the API to this request; '' when nothing is, or where no row has this place."""
    if status >= 400:
        return fault(PROBLEM, body)
    row = next((row for row, place in _PLACES if row.method == method and place.fullmatch(path)), None)
    if row is None or status == 304:
        return ""
    if status not in {row.status, 206} or (status == 206 and not row.orders):
        return f": status {status} instead of {row.status}"
    return fault(ANSWERS[row.name], body)
