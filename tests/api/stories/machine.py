"""What the machine offers: its one region, its sizes and stacks, the services beside."""

from dynod.model.formation import MIB, SIZES, DynoSize, offer
from tests.api.story import covers


@covers("regions.list", "regions.info")
async def the_machine_is_one_region(whole):
    (region,) = (await whole.ask("GET", "/regions")).body
    assert region["name"] == "us"
    assert (await whole.ask("GET", "/regions/us")).body == region
    assert (await whole.ask("GET", "/regions/eu")).status == 404


@covers("sizes.list", "sizes.info")
async def sizes_are_herokus_and_then_those_of_this_machine(whole):
    offer([DynoSize("small", 128 * MIB, 1, 64, 20, 0)])
    try:
        sizes = (await whole.ask("GET", "/dyno-sizes")).body
        assert {one["name"] for one in sizes} >= {"Eco", "Standard-1X", "Performance-2XL", "small"}
        small = (await whole.ask("GET", "/dyno-sizes/SMALL")).body
        assert (small["memory"], small["cost"], small["compute"]) == (0.125, None, 1)
        eco = (await whole.ask("GET", "/dyno-sizes/eco")).body
        assert (eco["memory"], eco["cost"], eco["dyno_units"]) == (0.5, {"cents": 500, "unit": "month"}, 0)
        assert (await whole.ask("GET", f"/dyno-sizes/{eco['id']}")).body == eco
        assert (await whole.ask("GET", "/dyno-sizes/mega")).status == 404
    finally:
        SIZES.pop("small", None)


@covers("stacks.list", "stacks.info")
async def the_default_stack_comes_first(whole):
    stacks = (await whole.ask("GET", "/stacks")).body
    assert [(one["name"], one["default"]) for one in stacks] == [("debian-12", True), ("heroku-24", False)]
    assert (await whole.ask("GET", "/stacks/heroku-24")).body["name"] == "heroku-24"
    assert (await whole.ask("GET", "/stacks/cedar-10")).status == 404


@covers("status.info", "buildpacks.lookup")
async def the_side_services_need_no_token(whole):
    status = await whole.ask("GET", "/api/v4/current-status", token="")
    assert {one["status"] for one in status.body["status"]} == {"green"}
    lookup = await whole.ask("GET", "/buildpacks/heroku%2Fpython", token="")
    assert (lookup.body["name"], lookup.body["blob_url"]) == ("heroku/python", "urn:buildpack:heroku/python")
