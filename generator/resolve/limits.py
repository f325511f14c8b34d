"""What the policies of a cluster are measured with: the limits in its entry, as flat text that CEL can look up.

A key carries the name that is asked about (`sku.Standard_NC24ads_A100_v4`, `gpus.chat`), so that a policy asks whether
it is there and parses nothing.
"""

from collections.abc import Iterable

from generator.model.cluster import ClusterSpec
from generator.placement import TuningPlacement
from generator.skus import Skus

KUBERNETES = "kube-system"
"""Kubernetes' own controllers run there, and those of KAITO's managed add-on."""
LISTED, ANY = "listed", "any"


def policy_limits(spec: ClusterSpec, skus: Skus) -> dict[str, str]:
    """The parameters that the cluster's entry alone decides."""
    limits = {
        "environment": spec.environment,
        "provisioner": spec.kaito.provisioner,
        "controllers": ",".join((*spec.kaito.namespaces, KUBERNETES)),
        "hosts": spec.gateway.host or "",
        "maxTimeout": spec.gateway.max_timeout,
        "licenses": LISTED if spec.licenses else ANY,
        "tunedImages": "",
    }
    limits |= {f"license.{name}": LISTED for name in spec.licenses}
    limits |= {f"sku.{name}": str(skus.sizes[name].gpus) for name in spec.skus if name in skus.sizes}
    excepted = [name.split("/") for name in spec.exceptions.remote_code]
    for name, namespace in spec.namespaces.items():
        limits |= {
            f"owners.{name}": ",".join(namespace.owners),
            f"cost-center.{name}": namespace.cost_center or "",
            f"gpus.{name}": str(namespace.quota.gpus),
            f"remote-code.{name}": ",".join(model for where, model in excepted if where == name),
        }
    return limits


def with_outputs(limits: dict[str, str], tunings: Iterable[TuningPlacement]) -> dict[str, str]:
    """The same with the images that the cluster's tunings make, which have tags: their digests exist after the run."""
    images = sorted(tuning.output_image for tuning in tunings if tuning.output_image)
    return dict(sorted({**limits, "tunedImages": ",".join(images)}.items()))
