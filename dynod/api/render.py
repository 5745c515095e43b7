"""Model values -> the JSON that Platform API v3 clients read, with every field that they and the schema name. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from dynod.api.links import Links
from dynod.api.shapes import REGION, Json, fixed_id, named, of_app, stamp, user
from dynod.core.changes import no_rollback
from dynod.engine.platform import Quota
from dynod.model.app import Account, App
from dynod.model.autopsy import Autopsy, Cause
from dynod.model.domain import Domain, SniEndpoint
from dynod.model.dyno import DynoView
from dynod.model.formation import HEROKUS, DynoSize, Formation
from dynod.model.release import Build, Release, Slug


def account(who: Account) -> Json:
    return {
        "id": who.id,
        "email": who.email,
        "name": who.email.partition("@")[0],
        "allow_tracking": False,
        "beta": False,
        "acknowledged_msa": True,
        "country_of_residence": None,
        "created_at": stamp(0),
        "default_organization": None,
        "default_team": None,
        "delinquent_at": None,
        "federated": False,
        "identity_provider": None,
        "last_login": None,
        "sms_number": None,
        "suspended_at": None,
        "two_factor_authentication": False,
        "updated_at": stamp(0),
        "verified": True,
    }


def authorization(who: Account, token: str, scope: Sequence[str], description: str) -> Json:
    """Render a token as OAuth's authorization; it is the account's own, so it does not expire."""
    ident = fixed_id("authorization", token)
    return {
        "id": ident,
        "description": description,
        "scope": list(scope),
        "access_token": {"id": fixed_id("token", token), "token": token, "expires_in": None},
        "client": None,
        "grant": None,
        "refresh_token": None,
        "session": None,
        "created_at": stamp(0),
        "updated_at": stamp(0),
        "user": {"id": who.id, "email": who.email, "full_name": None},
    }


def quota(who: Account, quota: Quota) -> Json:
    """Render the eco dyno hours of a month, in whole seconds as Heroku does."""
    apps = sorted(quota.used.items())
    return {
        "id": who.id,
        "account_quota": int(quota.seconds),
        "quota_used": int(sum(quota.used.values())),
        "apps": [{"app_uuid": app, "quota_used": int(seconds)} for app, seconds in apps],
    }


_TIERS = {"Eco": "eco", "Basic": "basic"}


def tier(rows: Sequence[Formation]) -> str:
    """What a formation makes of its app: `heroku ps` asks for the quota of those that are `eco`."""
    return next((_TIERS[row.size.name] for row in rows if row.size.name in _TIERS), "production")


def app(
    app: App, links: Links, slug: Slug | None, released_at: float | None, tier: str = "production"
) -> Json:
    return {
        **of_app(app),
        "acm": app.acm,
        "archived_at": None,
        "build_stack": named("stack", app.build_stack),
        "buildpack_provided_description": app.detected_buildpack or None,
        "create_status": "complete",
        "created_at": stamp(app.created_at),
        "database_size": None,
        "generation": named("generation", "cedar"),
        "git_url": links.git(app.name),
        "internal_routing": False,
        "locked": False,
        "maintenance": app.maintenance,
        "organization": None,
        "owner": {"id": app.owner.id, "email": app.owner.email},
        "process_tier": tier,
        "region": named("region", REGION),
        "released_at": None if released_at is None else stamp(released_at),
        "repo_size": None,
        "slug_size": None if slug is None else slug.size,
        "space": None,
        "stack": named("stack", app.stack),
        "team": None,
        "updated_at": stamp(app.updated_at),
        "web_url": links.web(app.name),
    }


def collaborator(app: App) -> Json:
    """Render the owner, who is the one collaborator there is."""
    return {
        "id": fixed_id("collaborator", f"{app.id}:{app.owner.id}"),
        "app": of_app(app),
        "created_at": stamp(app.created_at),
        "permissions": [
            {"name": name, "description": name} for name in ("deploy", "manage", "operate", "view")
        ],
        "role": "owner",
        "updated_at": stamp(app.updated_at),
        "user": {"id": app.owner.id, "email": app.owner.email, "federated": False},
    }


def domain(app: App, links: Links) -> Json:
    """Render the name that every app has from the platform."""
    hostname = links.hostname(app.name)
    return {
        "id": fixed_id("domain", f"{app.id}:{hostname}"),
        "acm_status": None,
        "acm_status_reason": None,
        "app": of_app(app),
        "cname": None,
        "created_at": stamp(app.created_at),
        "hostname": hostname,
        "kind": "heroku",
        "sni_endpoint": None,
        "status": "none",
        "updated_at": stamp(app.updated_at),
    }


def custom_domain(
    app: App, one: Domain, shown: SniEndpoint | None, acm: tuple[str, str] | None, links: Links
) -> Json:
    """Render a custom domain. Its DNS target is the app's own name, which leads to this machine under whatever name the app has."""
    return {
        "id": one.id,
        "acm_status": None if acm is None else acm[0],
        "acm_status_reason": None if acm is None else acm[1] or None,
        "app": of_app(app),
        "cname": links.hostname(app.name),
        "created_at": stamp(one.created_at),
        "hostname": one.hostname,
        "kind": "custom",
        "sni_endpoint": None if shown is None else {"id": shown.id, "name": shown.name},
        "status": "none",
        "updated_at": stamp(one.updated_at),
    }


def sni_endpoint(app: App, one: SniEndpoint, domains: Sequence[str]) -> Json:
    """Render a certificate in use; its key is never shown again."""
    certificate = one.certificate
    return {
        "id": one.id,
        "app": of_app(app),
        "certificate_chain": certificate.chain,
        "created_at": stamp(one.created_at),
        "display_name": None,
        "domains": list(domains),
        "name": one.name,
        "ssl_cert": {
            "acm": one.acm,
            "ca_signed?": not certificate.self_signed,
            "cert_domains": list(certificate.domains),
            "expires_at": stamp(certificate.expires_at),
            "id": fixed_id("certificate", f"{one.id}:{one.updated_at}"),
            "issuer": certificate.issuer,
            "self_signed?": certificate.self_signed,
            "starts_at": stamp(certificate.starts_at),
            "subject": certificate.subject,
        },
        "updated_at": stamp(one.updated_at),
    }


def release(app: App, one: Release, links: Links, current: Release | None) -> Json:
    return {
        "id": one.id,
        "addon_plan_names": [],
        "app": of_app(app),
        "artifacts": [],
        "created_at": stamp(one.created_at),
        "current": current is not None and current.id == one.id,
        "description": one.description,
        "eligible_for_rollback": not no_rollback(one),
        "output_stream_url": links.output("release", app.id, one.id) if one.phase else None,
        "slug": None if one.slug is None else {"id": one.slug},
        "status": one.status.value,
        "updated_at": stamp(one.updated_at),
        "user": user(one.actor, app),
        "version": one.version,
    }


def build(app: App, one: Build, links: Links) -> Json:
    return {
        "id": one.id,
        "app": {"id": app.id},
        "buildpacks": [{"name": url, "url": url} for url in one.buildpacks] or None,
        "created_at": stamp(one.created_at),
        "output_stream_url": links.output("build", app.id, one.id),
        "release": None if one.release is None else {"id": one.release},
        "slug": None if one.slug is None else {"id": one.slug},
        "source_blob": {
            "checksum": None,
            "url": "",
            "version": one.commit or None,
            "version_description": None,
        },
        "stack": one.stack,
        "status": one.status.value,
        "updated_at": stamp(one.updated_at),
        "user": user(one.actor, app),
    }


def slug(app: App, one: Slug, links: Links) -> Json:
    return {
        "id": one.id,
        "blob": {"method": "get", "url": links.blob("slug", [app.id, one.id])},
        "buildpack_provided_description": one.buildpack or None,
        "checksum": f"SHA256:{one.sha256}",
        "commit": one.commit or None,
        "commit_description": one.commit_description or None,
        "created_at": stamp(one.created_at),
        "process_types": dict(one.process_types),
        "size": one.size,
        "stack": named("stack", one.stack),
        "updated_at": stamp(one.created_at),
    }


def formation(app: App, row: Formation) -> Json:
    return {
        "id": row.id,
        "app": of_app(app),
        "command": row.command,
        "created_at": stamp(app.created_at),
        "dyno_size": named("size", row.size.name),
        "quantity": row.quantity,
        "size": row.size.name,
        "type": row.type,
        "updated_at": stamp(app.updated_at),
    }


def size(one: DynoSize) -> Json:
    """A size of dynod.toml costs nothing at Heroku."""
    return {
        **named("size", one.name),
        "architecture": "cedar",
        "compute": one.cpu,
        "cost": {"cents": one.cents, "unit": "month"} if one.name.lower() in HEROKUS else None,
        "dedicated": one.name.startswith("Performance"),
        "dyno_units": int(one.units),
        "generation": named("generation", "cedar"),
        "memory": round(one.memory / 1024**3, 3),
        "precise_dyno_units": one.units,
        "private_space_only": False,
    }


def dyno(app: App, one: DynoView, attach_url: str | None = None) -> Json:
    return {
        "id": one.id,
        "app": of_app(app),
        "attach_url": attach_url,
        "command": one.command,
        "created_at": stamp(one.created_at),
        "name": str(one.name),
        "release": {"id": one.release_id, "version": one.release},
        "size": one.size,
        "state": one.state.value,
        "type": one.name.type,
        "updated_at": stamp(one.updated_at),
    }


def cause(app: App, one: Cause) -> Json:
    return {
        "app": of_app(app),
        "created_at": stamp(one.at),
        "dyno": {"id": one.dyno, "name": one.name},
        "event": one.what,
        "reason": one.why,
    }


def autopsy(app: App, one: Autopsy) -> Json:
    return {
        "app": of_app(app),
        "cause": one.cause,
        "cgroup": asdict(one.tally),
        "command": one.command,
        "created_at": stamp(one.created),
        "died_at": stamp(one.at),
        "dyno": {"id": one.dyno, "name": one.name},
        "exit_status": one.status,
        "files": [asdict(file) for file in one.files],
        "files_truncated": one.cut,
        "lines": list(one.lines),
        "memory_peak": one.peak or None,
        "release": {"version": one.release},
        "size": one.size,
        "state": one.state,
    }


def extended(app: App) -> Json:
    """Render where a dyno runs, for `ps --extended`; there is one machine."""
    return {
        "app_id": app.id,
        "az": None,
        "execution_plane": None,
        "fleet": None,
        "instance_id": None,
        "ip": None,
        "port": None,
        "region": REGION,
        "route": None,
    }


def feature(kind: str, name: str, words: Mapping[str, str], *, enabled: bool) -> Json:
    return {
        "id": fixed_id(f"{kind}-feature", name),
        "created_at": stamp(0),
        "description": words.get("description", ""),
        "display_name": words.get("display_name", name),
        "doc_url": words.get("doc_url", ""),
        "enabled": enabled,
        "feedback_email": "",
        "name": name,
        "state": words.get("state", "general"),
        "updated_at": stamp(0),
    }


def buildpack(ordinal: int, url: str) -> Json:
    return {"ordinal": ordinal, "buildpack": {"name": url, "url": url}}


def region() -> Json:
    return {
        "id": fixed_id("region", REGION),
        "country": "This machine",
        "created_at": stamp(0),
        "description": "This machine",
        "locale": "Here",
        "name": REGION,
        "private_capable": False,
        "provider": {"name": "dynod", "region": REGION},
        "updated_at": stamp(0),
    }


def stack(name: str, *, default: bool) -> Json:
    return {
        **named("stack", name),
        "created_at": stamp(0),
        "default": default,
        "state": "public",
        "updated_at": stamp(0),
    }
