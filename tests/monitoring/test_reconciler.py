"""Does the reconciler serve exactly the series that the facts list, and that its alerts read?"""

from prometheus_client.metrics import MetricWrapperBase

from generator.compile import Compiled
from reconciler.metrics import Metrics
from reconciler.nodepool import Ownership

KINDS = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}


def test_its_metrics_and_the_facts_are_the_same(fleet: Compiled) -> None:
    assert fleet.library is not None
    known = {one.name: one.labels - {"le"} for one in fleet.library.metrics.exporters["reconciler"].metrics}
    served = {
        family.name + suffix: frozenset(metric._labelnames)
        for metric in vars(Metrics()).values()
        if isinstance(metric, MetricWrapperBase)
        for family in metric.describe()
        for suffix in KINDS[family.type]
    }
    assert served == known


def test_the_owners_that_a_rule_names_exist(fleet: Compiled) -> None:
    assert fleet.library is not None
    selectors = (
        selector
        for group in fleet.library.groups
        for rule in group.rules
        for selector in rule.reading.selectors
        if selector.metric == "kaitops_reconciler_nodepools"
    )
    named = {value for one in selectors for label, _, value in one.matchers if label == "ownership"}
    assert named <= {*Ownership, "orphan"}
    assert named
