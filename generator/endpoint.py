"""Where do clients find a model: which URLs lead to it?"""

from generator.model.cluster import ClusterSpec
from generator.placement import ModelPlacement


def endpoint_of(cluster: ClusterSpec, model: ModelPlacement) -> str:
    """The first place at the gateway; without a route, the Service."""
    return endpoints_of(cluster, model)[0]


def endpoints_of(cluster: ClusterSpec, model: ModelPlacement) -> list[str]:
    """Every host with every prefix, in the order in which the route names them."""
    if model.route is None:
        return [f"http://{model.service}.{model.namespace}"]
    gateway = cluster.gateway
    scheme = "https" if gateway.tls else "http"
    shared = gateway.host if gateway.host and "*" not in gateway.host else "<gateway>"
    hosts = model.route.hosts or (shared,)
    return [f"{scheme}://{host}{prefix.match}" for host in hosts for prefix in model.route.prefixes]
