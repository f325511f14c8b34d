"""What every catalog entry shares: strictness, spelling, and the named kinds of string.

Catalog files are Kubernetes-shaped and camelCase; unknown fields are refused. Each named string type carries one
sentence that says what it must look like, so that a refusal never shows a regular expression to a person.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

API_VERSION = "catalog.kaitops.dev/v1"

DNS_LABEL = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
OBJECT_NAME = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
HOSTNAME = r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\.[a-z]([-a-z0-9]*[a-z0-9])?$"
COMMIT = r"^[0-9a-f]{40}$"
IMAGE_REPOSITORY = r"^[a-z0-9][a-z0-9.-]*(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+$"
IMAGE_DIGEST = r"^[a-z0-9][a-z0-9.-]*(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+@sha256:[0-9a-f]{64}$"
QUANTITY = r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"
SIZE = r"^([1-9][0-9]*(\.[0-9]+)?(Ki|Mi|Gi|Ti|k|M|G|T)|[1-9][0-9]{6,})$"
DURATION = r"^([0-9]{1,5}(h|m|s|ms)){1,4}$"
TIMEOUT = r"^([0-9]{1,5}[hms]){1,3}$"
HUB_REPOSITORY = r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$"
UUID = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
MODEL_IN_NAMESPACE = r"^[a-z]([-a-z0-9]*[a-z0-9])?/[a-z]([-a-z0-9]*[a-z0-9])?$"
HTTP_URL = r"^https?://[^\s/$.?#][^\s]*$"
HTTPS_URL = r"^https://[^\s/$.?#][^\s]*$"
ROUTE_PATH = r"^/([A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*)?$"
ABSOLUTE_PATH = r"^(/[A-Za-z0-9_][A-Za-z0-9._-]*)+$"
RELATIVE_PREFIX = r"^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*/?$"
ENV_NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"
LABEL_KEY = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
LABEL_TEXT = r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"
LABEL_VALUE = r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$"
VM_SIZE = r"^[A-Za-z0-9_]+$"
IMAGE_TAG = r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,100}$"
FLAG_NAME = r"^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$"
NODE_TAINT = (
    r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
    r"(=([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?)?:(NoSchedule|PreferNoSchedule|NoExecute)$"
)
_RESOURCE_GROUP = (
    r"^/subscriptions/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/resourceGroups/[A-Za-z0-9._()-]+"
)
SUBNET_ID = _RESOURCE_GROUP + r"/providers/Microsoft\.Network/virtualNetworks/[A-Za-z0-9._-]+/subnets/[A-Za-z0-9._-]+$"
CAPACITY_RESERVATION_ID = _RESOURCE_GROUP + r"/providers/Microsoft\.Compute/capacityReservationGroups/[A-Za-z0-9._-]+$"
TAG_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
TAG_VALUE = r"^[A-Za-z0-9]([A-Za-z0-9 ._:@/+-]*[A-Za-z0-9])?$"
CIDR = r"^[0-9]{1,3}(\.[0-9]{1,3}){3}/[0-9]{1,2}$"
VERSION = r"^[0-9]+\.[0-9]+\.[0-9]+$"
KUBERNETES_MINOR = r"^1\.[0-9]{2}$"
STORAGE_ACCOUNT = r"^[a-z0-9]{3,24}$"
BLOB_CONTAINER = r"^[a-z0-9](-?[a-z0-9]){2,62}$"
DATA_KEY = r"^[-._A-Za-z0-9]{1,253}$"
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
GIT_URL = r"^(https://|ssh://|git@)[^\s]+$"
ONE_LINE = r"^[^\r\n\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x85\u2028\u2029]*$"

EXPLANATIONS = {
    DNS_LABEL: "must be a DNS-1123 label: lower-case letters, digits and `-`, starting with a letter",
    OBJECT_NAME: "must be the name of an object: lower-case letters, digits, `-` and `.`",
    HOSTNAME: "must be a host name such as `chat.example.com`, and no address",
    COMMIT: "must be a full commit: 40 lower-case hexadecimal digits, no branch and no tag",
    IMAGE_REPOSITORY: "must be an image repository without tag or digest, such as `registry.example.com/team/name`",
    IMAGE_DIGEST: "must be an image by digest, `registry.example.com/team/name@sha256:` and 64 hexadecimal digits",
    QUANTITY: "must be a Kubernetes quantity such as `500m`, `4` or `16Gi`",
    SIZE: "must be a size in bytes, such as `16Gi`",
    DURATION: "must be a duration such as `120s` or `2m30s`",
    TIMEOUT: "must be a duration in whole seconds such as `15m` or `1h30m`",
    HUB_REPOSITORY: "must be a hub repository in the form `organisation/name`",
    UUID: "must be a UUID in lower case",
    MODEL_IN_NAMESPACE: "must be a namespace and a model, such as `chat/phi-4-mini`",
    HTTP_URL: "must be an `http://` or `https://` URL",
    HTTPS_URL: "must be an `https://` URL",
    ROUTE_PATH: "must be a path such as `/` or `/team/model`, without a trailing slash",
    ABSOLUTE_PATH: "must be an absolute path without `..`, such as `/models/my-model`",
    RELATIVE_PREFIX: "must be a relative prefix without `..`, such as `models/my-model`",
    ENV_NAME: "must be an environment variable name",
    LABEL_KEY: "must be a Kubernetes label key",
    LABEL_TEXT: "becomes a label: letters, digits, `.`, `_` and `-`, a letter or digit at both ends",
    LABEL_VALUE: "must be a Kubernetes label value of at most 63 characters",
    VM_SIZE: "must be an Azure VM size such as `Standard_NC24ads_A100_v4`",
    IMAGE_TAG: "must be an image tag",
    FLAG_NAME: "must be an engine flag without its leading dashes, such as `max-num-seqs`",
    NODE_TAINT: "must be a taint such as `sku=gpu:NoSchedule`",
    SUBNET_ID: "must be the resource id of a subnet: `/subscriptions/ID/resourceGroups/NAME/providers/"
    "Microsoft.Network/virtualNetworks/NAME/subnets/NAME`",
    CAPACITY_RESERVATION_ID: "must be the resource id of a capacity reservation group: `/subscriptions/ID/"
    "resourceGroups/NAME/providers/Microsoft.Compute/capacityReservationGroups/NAME`",
    TAG_NAME: "must be the name of an Azure tag: letters, digits, `.`, `_` and `-`",
    TAG_VALUE: "must be the value of an Azure tag: letters, digits, spaces and `._:@/+-`",
    CIDR: "must be an IPv4 range such as `10.0.0.0/8`",
    VERSION: "must be a release such as `0.12.0`",
    KUBERNETES_MINOR: 'must be a Kubernetes minor in quotes, such as `"1.34"`',
    STORAGE_ACCOUNT: "must be a storage account name: 3 to 24 lower-case letters and digits",
    BLOB_CONTAINER: "must be a blob container name: 3 to 63 lower-case letters, digits and single `-`",
    DATA_KEY: "must be a key of a Kubernetes Secret",
    NAME: "must consist of letters, digits, `.`, `_` and `-`",
    GIT_URL: "must be the URL of a Git repository: `https://`, `ssh://` or `git@`",
    ONE_LINE: "must be one line of text without control characters",
}


def text(pattern: str, max_length: int | None = None, min_length: int | None = None) -> Any:
    """The annotation of a string type that must match `pattern` (one of those explained above)."""
    return StringConstraints(strict=True, pattern=pattern, max_length=max_length, min_length=min_length)


DnsLabel = Annotated[str, text(DNS_LABEL, 63)]
ObjectName = Annotated[str, text(OBJECT_NAME, 253)]
Hostname = Annotated[str, text(HOSTNAME, 253)]
Commit = Annotated[str, text(COMMIT)]
ImageRepository = Annotated[str, text(IMAGE_REPOSITORY, 255)]
ImageDigest = Annotated[str, text(IMAGE_DIGEST, 350)]
ImageTag = Annotated[str, text(IMAGE_TAG)]
Quantity = Annotated[str, text(QUANTITY)]
Size = Annotated[str, text(SIZE)]
Duration = Annotated[str, text(DURATION)]
Timeout = Annotated[str, text(TIMEOUT)]
HubRepository = Annotated[str, text(HUB_REPOSITORY, 200)]
Uuid = Annotated[str, text(UUID)]
ModelInNamespace = Annotated[str, text(MODEL_IN_NAMESPACE, 127)]
HttpUrl = Annotated[str, text(HTTP_URL, 2000)]
HttpsUrl = Annotated[str, text(HTTPS_URL, 2000)]
RoutePath = Annotated[str, text(ROUTE_PATH, 200)]
AbsolutePath = Annotated[str, text(ABSOLUTE_PATH, 400)]
RelativePrefix = Annotated[str, text(RELATIVE_PREFIX, 400)]
EnvName = Annotated[str, text(ENV_NAME)]
LabelKey = Annotated[str, text(LABEL_KEY, 317)]
LabelText = Annotated[str, text(LABEL_TEXT, 63)]
LabelValue = Annotated[str, text(LABEL_VALUE, 63)]
VmSize = Annotated[str, text(VM_SIZE, 60)]
FlagName = Annotated[str, text(FLAG_NAME, 80)]
NodeTaint = Annotated[str, text(NODE_TAINT, 400)]
SubnetId = Annotated[str, text(SUBNET_ID, 400)]
CapacityReservationId = Annotated[str, text(CAPACITY_RESERVATION_ID, 400)]
TagName = Annotated[str, text(TAG_NAME, 200)]
TagValue = Annotated[str, text(TAG_VALUE, 200)]
Cidr = Annotated[str, text(CIDR)]
Version = Annotated[str, text(VERSION)]
KubernetesMinor = Annotated[str, text(KUBERNETES_MINOR)]
StorageAccount = Annotated[str, text(STORAGE_ACCOUNT)]
BlobContainer = Annotated[str, text(BLOB_CONTAINER, 63)]
SecretKey = Annotated[str, text(DATA_KEY)]
GitUrl = Annotated[str, text(GIT_URL, 500)]
Name = Annotated[str, text(NAME, 200)]
OneLine = Annotated[str, text(ONE_LINE, 500)]
Words = Annotated[str, text(ONE_LINE, 500, 1)]
PositiveInt = Annotated[int, Field(strict=True, ge=1)]
Fraction = Annotated[float, Field(strict=True, gt=0, lt=1)]
PositiveFloat = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
Switch = Annotated[bool, Field(strict=True)]
"""`true` or `false`; text or a number that looks like one is a mistake."""


class Strict(BaseModel):
    """A closed, immutable piece of an entry, spelled in camelCase.

    Defaults that are models are made by `model_construct`: a validated one would build its validator at import, and
    building them all takes longer than rendering a fleet.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, defer_build=True)


class Metadata(Strict):
    name: DnsLabel = Field(description="The entry's name; the file carries the same name")


class EntryBase(Strict):
    """The head of every entry; each kind narrows `kind` and `spec`."""

    api_version: Literal["catalog.kaitops.dev/v1"]
    kind: str
    metadata: Metadata
    spec: Any


def only_one(value: BaseModel, names: tuple[str, ...]) -> None:
    """Demand that exactly one of the named optional fields is set."""
    present = [name for name in names if getattr(value, name) is not None]
    if len(present) != 1:
        spelled = ", ".join(f"`{to_camel(name)}`" for name in names)
        got = " and ".join(f"`{to_camel(name)}`" for name in present) or "none"
        raise ValueError(f"needs exactly one of {spelled}, but has {got}")
