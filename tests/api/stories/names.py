"""Domains, certificates, and those that are fetched by themselves."""

from x509_samples import Signer

from tests.api.story import covers, made


@covers("domains.list", "domains.info")
async def an_app_has_the_platforms_domain(whole):
    await made(whole)
    (domain,) = (await whole.ask("GET", "/apps/demo/domains", Range="id ..; max=1000;")).body
    assert (domain["hostname"], domain["kind"]) == ("demo.localhost", "heroku")
    assert (await whole.ask("GET", "/apps/demo/domains/demo.localhost")).body == domain
    assert (await whole.ask("GET", "/apps/demo/domains/www.example.com")).status == 404


@covers("domains.create", "domains.update", "domains.remove")
async def a_name_of_ones_own_comes_and_goes(whole):
    await made(whole)
    answer = await whole.ask(
        "POST", "/apps/demo/domains", {"hostname": "WWW.example.com", "sni_endpoint": None}
    )
    assert answer.status == 201
    domain = answer.body
    assert (domain["hostname"], domain["kind"], domain["cname"]) == (
        "www.example.com",
        "custom",
        "demo.localhost",
    )
    assert (domain["acm_status"], domain["sni_endpoint"], domain["status"]) == (None, None, "none")
    listed = (await whole.ask("GET", "/apps/demo/domains")).body
    assert [one["hostname"] for one in listed] == ["demo.localhost", "www.example.com"]
    for ident in ("www.example.com", domain["id"]):
        assert (await whole.ask("GET", f"/apps/demo/domains/{ident}")).body == domain
    for name, why in (
        ("www.example.com", "it has it already"),
        ("x.localhost", "those of apps"),
        ("no", "a dot"),
    ):
        refused = await whole.ask("POST", "/apps/demo/domains", {"hostname": name, "sni_endpoint": None})
        assert (refused.status, refused.body["id"]) == (422, "invalid_params")
        assert why in refused.body["message"]
    lost = await whole.ask("PATCH", "/apps/demo/domains/www.example.com", {"sni_endpoint": "nobody"})
    assert lost.status == 404
    assert (await whole.ask("DELETE", "/apps/demo/domains/www.example.com")).body == domain
    assert (await whole.ask("DELETE", "/apps/demo/domains/www.example.com")).status == 404
    own = await whole.ask("DELETE", "/apps/demo/domains/demo.localhost")
    assert (own.status, "it is the app's own name, which stays" in own.body["message"]) == (404, True)


@covers(
    "sni-endpoints.list",
    "sni-endpoints.info",
    "sni-endpoints.create",
    "sni-endpoints.update",
    "sni-endpoints.remove",
)
async def a_certificate_is_taken_shown_changed_and_let_go(whole):
    await made(whole)
    signer = Signer()
    await whole.ask("POST", "/apps/demo/domains", {"hostname": "www.example.com", "sni_endpoint": None})
    chain, key = signer.server("*.example.com")
    body = {"certificate_chain": chain, "private_key": key}
    answer = await whole.ask("POST", "/apps/demo/sni-endpoints", body)
    assert answer.status == 201
    endpoint, certificate = answer.body, answer.body["ssl_cert"]
    assert (certificate["acm"], certificate["ca_signed?"], certificate["cert_domains"]) == (
        False,
        True,
        ["*.example.com"],
    )
    assert key.splitlines()[1] not in str(endpoint)
    name = endpoint["name"]
    domain = (await whole.ask("GET", "/apps/demo/domains/www.example.com")).body
    assert (endpoint["domains"], domain["sni_endpoint"]) == (
        [domain["id"]],
        {"id": endpoint["id"], "name": name},
    )
    assert (await whole.ask("GET", "/apps/demo/sni-endpoints")).body == [endpoint]
    assert (await whole.ask("GET", f"/apps/demo/sni-endpoints/{endpoint['id']}")).body == endpoint

    chain, key = signer.server("www.example.org")
    wrong = await whole.ask(
        "PATCH", f"/apps/demo/sni-endpoints/{name}", {"certificate_chain": chain, "private_key": key}
    )
    assert (wrong.status, "is not for www.example.com" in wrong.body["message"]) == (422, True)
    assert (await whole.ask("POST", "/apps/demo/sni-endpoints", {**body, "private_key": key})).status == 422
    assert (await whole.ask("POST", "/apps/demo/sni-endpoints", {"certificate_chain": chain})).status == 422
    chain, key = signer.server("www.example.com", "www.example.org")
    body = {"certificate_chain": chain, "private_key": key}
    changed = (await whole.ask("PATCH", f"/apps/demo/sni-endpoints/{name}", body)).body
    assert changed["ssl_cert"]["cert_domains"] == ["www.example.com", "www.example.org"]
    bare = await whole.ask("PATCH", "/apps/demo/domains/www.example.com", {"sni_endpoint": None})
    assert bare.body["sni_endpoint"] is None
    shown = await whole.ask("PATCH", "/apps/demo/domains/www.example.com", {"sni_endpoint": name})
    assert shown.body["sni_endpoint"]["name"] == name
    assert (await whole.ask("DELETE", f"/apps/demo/sni-endpoints/{name}")).status == 200
    assert (await whole.ask("GET", f"/apps/demo/sni-endpoints/{name}")).status == 404
    assert (await whole.ask("GET", "/apps/demo/domains/www.example.com")).body["sni_endpoint"] is None


@covers("acm.enable", "acm.disable", "acm.refresh")
async def automatic_certificates_are_switched_on_and_off(whole):
    await made(whole, deployed=True)
    await whole.ask("POST", "/apps/demo/domains", {"hostname": "*.example.com", "sni_endpoint": None})
    await whole.ask("POST", "/apps/demo/domains", {"hostname": "www.example.com", "sni_endpoint": None})
    assert (await whole.ask("PATCH", "/apps/demo/acm", {"acm_refresh": True})).status == 422
    answer = await whole.ask("POST", "/apps/demo/acm", {})
    assert answer.body["acm"] is True
    size = (await whole.ask("GET", "/apps/demo")).body["slug_size"]
    assert answer.body["slug_size"] == size
    assert size
    rows = {row["hostname"]: row for row in (await whole.ask("GET", "/apps/demo/domains")).body}
    star, www = rows["*.example.com"], rows["www.example.com"]
    assert (star["acm_status"], www["acm_status"]) == ("failed", "pending")
    assert "certificate of your own" in star["acm_status_reason"]
    refreshed = await whole.ask("PATCH", "/apps/demo/acm", {"acm_refresh": True})
    assert (refreshed.status, refreshed.body["slug_size"]) == (200, size)
    assert (await whole.ask("DELETE", "/apps/demo/acm")).body["acm"] is False
