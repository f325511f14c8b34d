"""What a cluster's entry says of our reconciler: who it is in Azure, how long it waits, and what its nodes are like.

What is left out is left to `python -m reconciler --help`, or to AKS.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from generator.model.base import (
    CapacityReservationId,
    DnsLabel,
    NodeTaint,
    PositiveFloat,
    PositiveInt,
    Strict,
    SubnetId,
    Switch,
    TagName,
    TagValue,
    Timeout,
    Uuid,
)

OWN_TAGS = "kaitops-"
"""How the tags begin by which the reconciler tells its own node pools."""


class Nodes(Strict):
    """The nodes that it makes, where a NodeClaim leaves it open."""

    capacity_type: Literal["on-demand", "spot"] | None = Field(
        None, description="How they are paid for; Azure may take a spot node away at any time"
    )
    spot_max_price: PositiveFloat | None = Field(
        None, description="USD per hour for a spot node; left out: up to the on-demand price"
    )
    capacity_reservation: CapacityReservationId | None = Field(
        None,
        description="Resource id of the capacity reservation group that every node is taken from; the cluster's own"
        " identity needs Contributor on it",
    )
    zones: tuple[Literal["1", "2", "3"], ...] = Field((), description="Left out: wherever Azure has the size")
    subnet: SubnetId | None = Field(
        None, description="Resource id of their subnet; needed where the cluster is in a network of your own"
    )
    os_sku: Literal["Ubuntu", "Ubuntu2204", "Ubuntu2404", "AzureLinux", "AzureLinux3"] | None = Field(
        None, description="For claims without KAITO's annotation"
    )
    os_disk_type: Literal["Managed", "Ephemeral"] | None = Field(
        None, description="`Ephemeral`: on the machine's own disk, which must be large enough"
    )
    os_disk_gib: PositiveInt | None = Field(None, description="Disk of claims that request no storage")
    gpu_driver: Literal["Install", "None"] | None = Field(
        None, description="`None`: whoever runs the cluster brings the driver"
    )
    tags: dict[TagName, TagValue] = Field(default_factory=dict, description="Azure tags of each node pool")
    taints: tuple[NodeTaint, ...] = Field((), description="Taints besides those that KAITO asks for")

    @model_validator(mode="after")
    def _reserved_is_not_spot(self) -> Self:
        if self.capacity_reservation and self.capacity_type == "spot":
            raise ValueError(
                "a capacity reservation serves no spot node: remove `capacityReservation`, or `capacityType`"
            )
        return self

    @model_validator(mode="after")
    def _tags_are_not_ours(self) -> Self:
        ours = [name for name in self.tags if name.lower().startswith(OWN_TAGS)]
        if ours:
            raise ValueError(f"tag `{ours[0]}` begins with `{OWN_TAGS}`, by which the reconciler tells its own pools")
        return self


class Reconciler(Strict):
    """Needed where `kaito.provisioner` is `kaitops`, and only there."""

    identity: DnsLabel = Field(
        "kaitops-reconciler", description="Name of its user-assigned identity, which `azure/reconciler.json` makes"
    )
    client_id: Uuid = Field(description="Client id of that identity: what the deployment of the file prints")
    pool_reserve: Annotated[int, Field(strict=True, ge=0, le=50)] = Field(
        3, description="Node pools of the cluster that are not its own: the system pool, and whatever else there is"
    )
    launch_timeout: Timeout | None = Field(None, description="A claim that Azure refuses is deleted after this time")
    create_timeout: Timeout | None = Field(None, description="A pool that is still being created then has failed")
    registration_timeout: Timeout | None = Field(None, description="A claim whose Node is missing is deleted then")
    node_repair: Switch | None = Field(None, description="Whether a claim with a broken Node is deleted")
    nodes: Nodes = Nodes.model_construct()
