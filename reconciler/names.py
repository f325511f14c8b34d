"""How is everything spelled that KAITO, Karpenter, AKS or an operator reads of us? Nowhere else is it spelled."""

GROUP = "karpenter.sh"
API_VERSION = f"{GROUP}/v1"
KIND = "NodeClaim"
PLURAL = "nodeclaims"

TERMINATION_FINALIZER = "karpenter.sh/termination"
"""On claims and on Nodes, as Karpenter spells it: its tools and KAITO's users know what it means."""

NODE_CLASS = ("kaito.sh", "KaitoNodeClass")
WORKSPACE_LABEL = "kaito.sh/workspace"
RAGENGINE_LABEL = "kaito.sh/ragengine"
KAITO_LABELS = (WORKSPACE_LABEL, RAGENGINE_LABEL)
"""A claim with one of these is KAITO's whatever its node class is: older releases named another class."""

NODEPOOL_LABEL = "karpenter.sh/nodepool"
NODEPOOL = "kaito"
"""Without this label KAITO counts a ready node as one that its user brought, and asks for one claim less."""
MACHINE_TYPE_LABEL = "kaito.sh/machine-type"
CREATION_LABEL = "kaito.sh/creation-timestamp"
CREATION_LAYOUT = "%Y-%m-%dT%H-%M-%SZ"
IMAGE_FAMILY_ANNOTATION = "kaito.sh/node-image-family"

REGISTERED_LABEL = "karpenter.sh/registered"
INITIALIZED_LABEL = "karpenter.sh/initialized"
DO_NOT_SYNC_TAINTS_LABEL = "karpenter.sh/do-not-sync-taints"
CAPACITY_TYPE_LABEL = "karpenter.sh/capacity-type"
UNREGISTERED_TAINT = "karpenter.sh/unregistered"
DISRUPTED_TAINT = "karpenter.sh/disrupted"
TERMINATION_ANNOTATION = "karpenter.sh/nodeclaim-termination-timestamp"
EXCLUDE_BALANCERS_LABEL = "node.kubernetes.io/exclude-from-external-load-balancers"

INSTANCE_TYPE_LABEL = "node.kubernetes.io/instance-type"
SKU_NAME_LABEL = "karpenter.azure.com/sku-name"
ZONE_LABEL = "topology.kubernetes.io/zone"
ARCH_LABEL = "kubernetes.io/arch"
OS_LABEL = "kubernetes.io/os"
AGENT_POOL_LABELS = ("kubernetes.azure.com/agentpool", "agentpool")
NVIDIA_GPU = "nvidia.com/gpu"

UID_LABEL = "kaitops.dev/nodeclaim-uid"
"""On the pool and its Nodes: a second mark, for `az aks nodepool update --tags` replaces all tags."""
FAILURES_ANNOTATION = "kaitops.dev/failed-node-pools"
"""On a claim: when each pool of it that failed was made. Such a pool is deleted, and its tags with it."""

TAG_MANAGED_BY = "kaitops-managed-by"
MANAGED_BY = "kaitops-reconciler"
TAG_CLUSTER = "kaitops-cluster"
TAG_CLAIM = "kaitops-nodeclaim"
TAG_UID = "kaitops-nodeclaim-uid"
TAG_CREATED = "kaitops-created-at"
TAG_ADOPTED = "kaitops-adopted-from"
GPU_PROVISIONER = "gpu-provisioner"
OUR_TAGS = (TAG_MANAGED_BY, TAG_CLUSTER, TAG_CLAIM, TAG_UID, TAG_CREATED, TAG_ADOPTED)

LAUNCHED = "Launched"
REGISTERED = "Registered"
INITIALIZED = "Initialized"
READY = "Ready"
DRAINED = "Drained"
VOLUMES_DETACHED = "VolumesDetached"
INSTANCE_TERMINATING = "InstanceTerminating"
LIVING = (LAUNCHED, REGISTERED, INITIALIZED)
"""`Ready` is True when these are."""
AWAITING = "AwaitingReconciliation"
LIMIT_REACHED = "NodePoolLimitReached"
