"""What each resolver gets: one entry on one cluster, the facts, and a place to put findings."""

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from generator.facts import KaitoFacts
from generator.finding import Finding, Place, Severity
from generator.load import Catalog, Entry
from generator.model import Cluster, EntryBase
from generator.model.cluster import ClusterSpec
from generator.model.model import Claim, Token
from generator.monitoring.metrics import MetricFacts
from generator.placement import SYNC_OPTIONS, ExternalSecret, VolumeClaim
from generator.skus import Sku, Skus

EntryType = TypeVar("EntryType", bound=EntryBase)

STORAGE_CLASS = "azurefile-csi-premium"


@dataclass(frozen=True, slots=True)
class Facts:
    kaito: KaitoFacts
    skus: Skus
    metrics: MetricFacts


@dataclass(slots=True)
class Findings:
    """Collects what is wrong while resolving goes on, so that all problems are said at once."""

    found: list[Finding] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Context(Generic[EntryType]):
    entry: Entry[EntryType]
    cluster: Entry[Cluster]
    catalog: Catalog
    facts: Facts
    findings: Findings

    @property
    def spec_of_cluster(self) -> ClusterSpec:
        return self.cluster.value.spec

    @property
    def is_prod(self) -> bool:
        return self.spec_of_cluster.environment == "prod"

    def sku(self, name: str | None) -> Sku | None:
        return self.facts.skus.sizes.get(name) if name else None

    def say(self, rule: str, message: str, *path: str | int, hint: str = "", warning: bool = False) -> None:
        """Report a problem at `path` below the entry's `spec`."""
        self.say_at(self.entry.place(*path), rule, message, hint, warning=warning)

    def say_at(self, where: Place, rule: str, message: str, hint: str = "", *, warning: bool = False) -> None:
        severity = Severity.WARNING if warning else Severity.ERROR
        self.findings.found.append(Finding(where, rule, message, hint, severity))


def annotations(context: Context[EntryType]) -> dict[str, str]:
    """What each KAITO object carries: where it comes from, and whether a person lets it go.

    An edit prunes the old revision, a retired entry deletes its Application and everything below: two questions.
    """
    confirm = {SYNC_OPTIONS: "Prune=confirm,Delete=confirm"}
    found = {"kaitops.dev/catalog": context.entry.file.name}
    return found | (confirm if context.spec_of_cluster.gitops.prune == "confirm" else {})


def labels(context: Context[EntryType], owner: str, namespace: str) -> dict[str, str]:
    """The labels that each object of an entry carries."""
    place = context.spec_of_cluster.namespaces.get(namespace)
    cost_center = {"kaitops.dev/cost-center": place.cost_center} if place and place.cost_center else {}
    return {
        "app.kubernetes.io/name": context.entry.name,
        "app.kubernetes.io/managed-by": "kaitops",
        "kaitops.dev/owner": owner,
        **cost_center,
    }


def external_secrets(context: Context[EntryType], *tokens: Token | None) -> tuple[ExternalSecret, ...]:
    """The ExternalSecrets that fill the tokens' Secrets, where the cluster has a vault and the entry a key in it."""
    store = context.spec_of_cluster.secrets.external
    if store is None:
        return ()
    return tuple(
        ExternalSecret(
            name=token.secret, key=token.key, vault_key=token.vault_key, store=store.name, store_kind=store.kind
        )
        for token in tokens
        if token and token.vault_key
    )


def claims(*wanted: Claim | None) -> tuple[VolumeClaim, ...]:
    """The claims that we create; one without a size exists already."""
    return tuple(
        VolumeClaim(name=claim.name, size=claim.size, storage_class=claim.storage_class or STORAGE_CLASS)
        for claim in wanted
        if claim and claim.size
    )
