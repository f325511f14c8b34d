"""Does whatever anybody may write end in words that say what to change, and never in a crash, a loop or a lost pool?"""

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler import names
from reconciler.azure import AzureError
from reconciler.duration import LONGEST, parse_duration, parse_quantity, parse_time
from reconciler.errors import Trouble
from reconciler.nodepool import Pool
from tests.reconciler.fake_kube import claim_body, merge
from tests.reconciler.making import NOW
from tests.reconciler.test_collect import an_orphan, with_a_claim
from tests.reconciler.world import SETTINGS, World, scene

SIZE = "Standard_NC24ads_A100_v4"


def requiring(*requirements: tuple[str, str, list[str]]) -> dict[str, Any]:
    return {"requirements": [{"key": key, "operator": how, "values": values} for key, how, values in requirements]}


def requesting(**requests: str) -> dict[str, Any]:
    return {"resources": {"requests": requests}}


def surprises(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR]


BAD_CLAIMS: list[tuple[str, dict[str, Any], str]] = [
    ("ws-1", {}, "`ws-1` cannot name a node pool: AKS takes 1 to 12 lower-case letters and digits, a letter first"),
    ("waytoolongname", {}, "cannot name a node pool"),
    ("1ws", {}, "cannot name a node pool"),
    ("ws1", requiring(), "no instance type: add a requirement `node.kubernetes.io/instance-type` with operator `In`"),
    ("ws1", requiring((names.INSTANCE_TYPE_LABEL, "Exists", [])), "no instance type"),
    ("ws1", requiring((names.INSTANCE_TYPE_LABEL, "In", ["gpu.large"])), "`gpu.large` is no size of Azure"),
    (
        "ws1",
        requiring((names.INSTANCE_TYPE_LABEL, "In", [SIZE]), (names.SKU_NAME_LABEL, "In", ["Standard_D4s_v5"])),
        "contradict each other",
    ),
    (
        "ws1",
        requiring((names.INSTANCE_TYPE_LABEL, "In", [SIZE]), (names.INSTANCE_TYPE_LABEL, "NotIn", [SIZE])),
        "contradict each other",
    ),
    (
        "ws1",
        requiring((names.INSTANCE_TYPE_LABEL, "In", [SIZE]), (names.ZONE_LABEL, "In", ["westus-1"])),
        "must name zones of `eastus`, as in `eastus-1`",
    ),
    (
        "ws1",
        requiring((names.INSTANCE_TYPE_LABEL, "In", [SIZE]), (names.OS_LABEL, "In", ["windows"])),
        "`kubernetes.io/os` must allow `linux`",
    ),
    (
        "ws1",
        requiring((names.INSTANCE_TYPE_LABEL, "In", [SIZE]), (names.CAPACITY_TYPE_LABEL, "In", ["reserved"])),
        "must be `spot` or `on-demand`",
    ),
    ("ws1", {"resources": {}}, "no disk size: request at least 1Gi of the resource `storage`"),
    ("ws1", requesting(storage="0"), "no disk size"),
    ("ws1", requesting(storage="-5Gi"), "no disk size"),
    ("ws1", requesting(storage="1e3.5"), "the request of the resource `storage` is no quantity"),
    ("ws1", requesting(storage="1e999999999"), "the request of the resource `storage` is no quantity"),
    ("ws1", requesting(storage="1Gi", cpu="9" * 60), "the request of the resource `cpu` is no quantity"),
]


@pytest.mark.parametrize(("name", "spec", "words"), BAD_CLAIMS, ids=[each[2][:40] for each in BAD_CLAIMS])
def test_a_claim_that_nobody_can_serve_says_why_and_ends_after_the_launch_timeout(
    name: str, spec: dict[str, Any], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(world: World) -> None:
        world.kube.claim_store.create(claim_body(name, **spec))
        await world.until(lambda: world.conditions(name).get(names.LAUNCHED) == ("False", "InvalidNodeClaim"), 30)
        assert words in world.message(name)
        assert len(world.message(name)) <= 256
        writes = len(world.kube.writes)
        await asyncio.sleep(200)
        assert len(world.kube.writes) == writes
        await world.until(lambda: world.claim_or_none(name) is None, 300)
        assert world.aks.puts == []

    scene(test)
    assert surprises(caplog) == []


def test_a_bad_claim_does_not_hold_up_the_others() -> None:
    async def test(world: World) -> None:
        for number, (_, spec, _) in enumerate(BAD_CLAIMS):
            world.kube.claim_store.create(claim_body(f"bad{number}", **spec))
        world.kube.claim_store.create(claim_body("good"))
        began = world.now()
        await world.until(lambda: world.ready("good"))
        assert world.now() - began < timedelta(seconds=180)

    scene(test)


def test_a_size_that_azure_does_not_know_names_it() -> None:
    async def test(world: World) -> None:
        world.aks.refuse = lambda _pool: Trouble("VMSizeNotSupported", "the size is not available in eastus")
        world.kube.claim_store.create(claim_body(size="Standard_NC999_v9"))
        await world.until(lambda: world.conditions().get(names.LAUNCHED) == ("False", "VMSizeNotSupported"), 60)
        assert "Standard_NC999_v9" in world.message()
        await world.until(lambda: world.claim_or_none() is None, 600)

    scene(test)


@pytest.mark.parametrize(
    "metadata",
    [
        {names.TERMINATION_ANNOTATION: "soon"},
        {names.TERMINATION_ANNOTATION: "2026-01-01"},
        {names.TERMINATION_ANNOTATION: "2026-01-01T00:10:00"},
        {names.TERMINATION_ANNOTATION: "0001-01-01T00:00:00+23:59"},
        {names.FAILURES_ANNOTATION: ",,,yesterday,"},
        {names.IMAGE_FAMILY_ANNOTATION: "\N{SNOWMAN}"},
    ],
    ids=lambda each: f"{next(iter(each)).rpartition('/')[2]}={next(iter(each.values()))!a}",
)
def test_annotations_by_hand_stop_neither_a_claim_s_life_nor_its_end(
    metadata: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    async def test(world: World) -> None:
        world.kube.claim_store.create(merge(claim_body(), {"metadata": {"annotations": metadata}}))
        await world.until(world.ready)
        pod = {"metadata": {"name": "web", "namespace": "a", "uid": "u"}, "status": {"phase": "Running"}}
        world.kube.pods["web"] = {**pod, "spec": {"nodeName": world.claim()["status"]["nodeName"]}}
        world.kube.claim_store.delete("ws1")
        await world.until(lambda: world.claim_or_none() is None, 900)
        assert world.pools() == {}

    scene(test)
    assert surprises(caplog) == []


def test_a_life_longer_than_any_calendar_is_for_ever() -> None:
    async def test(world: World) -> None:
        forever = "99999999999999999999h"
        world.kube.claim_store.create(claim_body(expireAfter=forever, terminationGracePeriod=forever))
        await world.until(world.ready)
        await asyncio.sleep(3600)
        world.kube.claim_store.delete("ws1")
        await world.until(lambda: world.claim_or_none() is None, 300)

    scene(test)
    assert parse_duration("9" * 5000 + "h") == LONGEST


ODD_TAGS = ["2026-01-01", "2025-12-31T00:00:00", "by hand", "", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+23:59"]


@pytest.mark.parametrize("value", ODD_TAGS)
def test_a_date_on_a_pool_that_somebody_changed_ends_no_search_and_no_claim(
    value: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(world: World) -> None:
        await with_a_claim(world)
        world.aks.put(an_orphan("odd", tags={**an_orphan("odd").tags, names.TAG_CREATED: value}))
        world.aks.put(an_orphan("lost"))
        await world.until(lambda: "lost" not in world.pools(), 900)
        world.kube.claim_store.create(claim_body())
        await world.until(lambda: "ws1" in world.pools())
        world.aks.edit("ws1", tags={**world.pools()["ws1"].tags, names.TAG_CREATED: value})
        await asyncio.sleep(600)
        world.kube.claim_store.delete("ws1")
        disputed = world.pools()["ws1"].created is None
        await asyncio.sleep(1200)
        assert (world.claim_or_none() is None) is not disputed

    scene(test)
    assert surprises(caplog) == []


def test_a_pool_that_no_code_expects_ends_no_process(caplog: pytest.LogCaptureFixture) -> None:
    """Of the two loops that see every pool, neither ends for what it cannot read: it would end again at each start."""

    async def test(world: World) -> None:
        await with_a_claim(world)
        odd = world.aks.put(Pool("odd", "Succeeded"))
        world.aks.edit("odd", tags=None)
        await asyncio.sleep(600)
        assert world.pools()["odd"].tags is None
        world.aks.edit("odd", tags=odd.tags)
        world.kube.claim_store.create(claim_body())
        await world.until(world.ready)

    scene(test)
    assert surprises(caplog) != []


ANYTHING = st.text(max_size=30) | st.sampled_from(["", "-", "Never", *ODD_TAGS])
PATCHES = st.fixed_dictionaries(
    {},
    optional={
        "annotations": st.dictionaries(st.sampled_from([names.TERMINATION_ANNOTATION, "a/b"]), ANYTHING),
        "labels": st.dictionaries(st.sampled_from([names.NODEPOOL_LABEL, names.UID_LABEL, "a"]), ANYTHING),
    },
)
REQUIREMENTS = st.lists(
    st.fixed_dictionaries(
        {
            "key": st.sampled_from([names.INSTANCE_TYPE_LABEL, names.SKU_NAME_LABEL, names.ZONE_LABEL, "a/b"]),
            "operator": st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist", "Gt"]),
        },
        optional={"values": st.lists(ANYTHING | st.just(SIZE), max_size=3)},
    ),
    max_size=4,
)


@settings(max_examples=60)
@given(metadata=PATCHES, requirements=REQUIREMENTS, storage=ANYTHING, tag=ANYTHING, label=ANYTHING)
def test_nothing_that_anybody_writes_makes_a_turn_fail(
    metadata: dict[str, Any], requirements: list[dict[str, Any]], storage: str, tag: str, label: str
) -> None:
    failed: list[str] = []

    class Watcher(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            failed.append(self.format(record))

    async def test(world: World) -> None:
        body = claim_body(requirements=requirements, resources={"requests": {"storage": storage}})
        world.kube.claim_store.create(merge(body, {"metadata": metadata}))
        world.aks.put(an_orphan("odd", tags={names.TAG_CREATED: tag, names.TAG_UID: label}, labels={"a": label}))
        await asyncio.sleep(400)
        if world.claim_or_none():
            world.kube.claim_store.delete("ws1")
        await world.until(lambda: world.claim_or_none() is None, 900)
        assert list(world.pools()) == ["odd"]

    watcher = Watcher(logging.ERROR)
    logging.getLogger("reconciler").addHandler(watcher)
    try:
        scene(test)
    finally:
        logging.getLogger("reconciler").removeHandler(watcher)
    assert failed == []


@pytest.mark.parametrize("text", ["1e999999999", "1e-999999999", "9" * 60, "1e3.5", ".", "+", "1GiB", "", "∞"])
def test_what_is_no_quantity_is_said_at_once(text: str) -> None:
    with pytest.raises(ValueError, match="is no quantity"):
        parse_quantity(text)


def test_a_moment_without_a_time_zone_is_in_utc() -> None:
    assert parse_time("2026-01-01T12:00:00") == parse_time("2026-01-01T12:00:00Z") == NOW


def refusing(error: AzureError) -> Callable[[str], None]:
    def refuse(name: str) -> None:
        if name.startswith("azure."):
            raise error

    return refuse


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [(403, "AuthorizationFailed", "AuthorizationFailed"), (401, "ExpiredAuthenticationToken", "AuthenticationFailed")],
)
def test_a_credential_that_azure_refuses_is_said_on_the_claim_and_heals_when_it_is_mended(
    status: int, code: str, words: str
) -> None:
    async def test(world: World) -> None:
        wire = world.processes[0].wire
        await asyncio.sleep(60)
        error = AzureError(Trouble(code, "as the test asks"), status)
        wire.before_call = lambda name: refusing(error)(name) if name == "azure.create" else None
        world.kube.claim_store.create(claim_body())
        await world.until(lambda: world.conditions().get(names.LAUNCHED) == ("Unknown", words), 60)
        calls = len(wire.calls)
        await asyncio.sleep(1800)
        assert len(wire.calls) - calls < 300
        wire.before_call = lambda _name: None
        await world.until(world.ready, 900)

    scene(test, settings=SETTINGS)


def test_an_azure_that_is_down_at_the_start_is_waited_for() -> None:
    async def test(world: World) -> None:
        process = world.launch()
        process.wire.before_call = refusing(AzureError(Trouble("ServiceUnavailable", "down"), 503))
        world.kube.claim_store.create(claim_body())
        await asyncio.sleep(1800)
        assert len(process.wire.calls) < 70  # A LIST and a look at the cluster in each minute.
        assert world.aks.puts == []
        await asyncio.sleep(24 * 3600)
        process.wire.before_call = lambda _name: None
        await world.until(world.ready, 600)

    scene(test, start=False)
