"""Would Grafana load the dashboards, and would a person find their way in them?"""

import json
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard

from generator.compile import Compiled
from generator.monitoring.promql import read

NAMES = ("fleet", "model")
UNITS = {value for name, value in vars(units).items() if name.isupper() or isinstance(value, str)}
Json = dict[str, Any]


def page(fleet: Compiled, name: str, cluster: str = "dev") -> str:
    assert fleet.rendering is not None
    if cluster == "prod":
        (text,) = [one.text for one in fleet.rendering.attachments if one.path.endswith(f"/dashboard-{name}.json")]
        return text
    path = f"clusters/{cluster}/monitoring/configmap-{name}.yaml"
    (body,) = [one.body for one in fleet.rendering.documents if one.path == path]
    assert body["metadata"]["labels"]["grafana_dashboard"] == "1"
    (found,) = body["data"].values()
    return str(found)


@pytest.fixture(params=NAMES)
def dashboard(request: pytest.FixtureRequest, fleet: Compiled) -> Json:
    body: Json = json.loads(page(fleet, request.param))
    return body


def panels(dashboard: Json) -> list[Json]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def test_grafanas_own_model_reads_each_and_loses_nothing_that_it_knows(dashboard: Json) -> None:
    read_back = json.loads(json.dumps(Dashboard.from_json(dashboard), cls=JSONEncoder))
    for name in ("uid", "title", "schemaVersion", "refresh", "time", "tags"):
        assert read_back[name] == dashboard[name]
    assert [panel["title"] for panel in read_back["panels"]] == [panel["title"] for panel in dashboard["panels"]]
    expressions = [[target["expr"] for target in panel["targets"]] for panel in panels(dashboard)]
    assert [[one["expr"] for one in panel["targets"]] for panel in panels(read_back)] == expressions


def test_every_panel_says_what_it_shows_and_in_which_unit(dashboard: Json) -> None:
    titles = [panel["title"] for panel in panels(dashboard)]
    assert len(set(titles)) == len(titles)
    for panel in panels(dashboard):
        assert panel["description"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        assert all(target["legendFormat"] for target in panel["targets"]), panel["title"]


def test_no_data_source_is_written_into_a_dashboard(dashboard: Json) -> None:
    assert dashboard["templating"]["list"][0]["type"] == "datasource"
    assert "id" not in dashboard
    for part in (*panels(dashboard), *(target for panel in panels(dashboard) for target in panel["targets"])):
        assert part["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def test_panels_fill_the_grid_without_lying_on_each_other(dashboard: Json) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)


def test_every_query_keeps_to_the_choices_at_the_top(dashboard: Json) -> None:
    """A query without them would show another cluster's or model's series."""
    wanted = {variable["name"] for variable in dashboard["templating"]["list"]} - {"datasource"}
    for panel in panels(dashboard):
        for target in panel["targets"]:
            for selector in read(target["expr"].replace("$__rate_interval", "5m")).selectors:
                used = {value.removeprefix("$") for _, _, value in selector.matchers if value.startswith("$")}
                assert "cluster" in used, target["expr"]
                assert used <= wanted
                assert "model" not in wanted or {"namespace", "model"} <= used, target["expr"]


@pytest.mark.parametrize("name", NAMES)
def test_both_flavours_get_the_same_pages(fleet: Compiled, name: str) -> None:
    assert page(fleet, name, "prod") == page(fleet, name, "dev")


def test_links_between_the_pages_lead_somewhere(fleet: Compiled) -> None:
    pages = [json.loads(page(fleet, name)) for name in NAMES]
    there = {f"/d/{one['uid']}" for one in pages}
    assert all(link["url"] in there for one in pages for link in one["links"])
    assert all(one["links"] for one in pages)
