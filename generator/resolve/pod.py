"""The pod of our own server: image, arguments, volumes and weights for every source that is no preset."""

import hashlib
import json
from typing import Any

from generator.model import Model
from generator.model.model import AzureBlobSource, AzureMLSource, AzureVolumeSource, ModelSpec
from generator.model.model import Probe as ProbeSpec
from generator.placement import BlobPv, Pod, Probe, Volume, VolumeClaim
from generator.resolve.context import Context, claims
from generator.resolve.engine import transformers_args, vllm_args
from generator.skus import Sku

WEIGHTS = "/models"
"""Where downloaded weights go; one folder per entry."""
SHARED_MEMORY = Volume(name="dshm", kind="emptyDir", settings={"medium": "Memory"}, path="/dev/shm")  # noqa: S108 - the path is the kernel's
CACHE = Volume(name="cache", kind="emptyDir", settings={}, path="/cache")
TEMPORARY = Volume(name="tmp", kind="emptyDir", settings={}, path="/tmp")  # noqa: S108 - a volume of the pod's own
CACHE_ENV = {"HF_HOME": "/cache/huggingface"}
BLOB_VOLUME_SIZE = "1Ti"
"""A static blob volume has no size of its own; Kubernetes wants one that the claim can match."""


def build_pod(context: Context[Model], sku: Sku | None, commit: str | None, tokens: int | None) -> Pod:
    """The pod for an entry whose source is not a preset."""
    spec = context.entry.value.spec
    gpus = sku.gpus if sku and spec.serving.device == "gpu" else 0
    command, args = _command(spec, context.entry.name, commit, gpus, tokens)
    images = context.spec_of_cluster.images
    token = spec.source.hugging_face.token if spec.source.hugging_face else None
    return Pod(
        image=images.inference_cpu if spec.serving.device == "cpu" else images.inference_gpu,
        command=(command,),
        args=args,
        env={**CACHE_ENV, **spec.serving.env},
        token_secret=token.secret if token else "",
        token_key=token.key if token else "",
        requests=_amounts(spec.serving.resources.requests, gpus),
        limits=_amounts(spec.serving.resources.limits, gpus),
        liveness=_probe(spec.serving.probes.liveness),
        readiness=_probe(spec.serving.probes.readiness),
        volumes=(SHARED_MEMORY, CACHE, TEMPORARY, *_weights(context)),
        fetch=_fetch(spec, context.entry.name),
        service_account=service_account_name(context.entry.value) if spec.identity else "",
        workload_identity=spec.identity is not None,
    )


def service_account_name(model: Model) -> str:
    identity = model.spec.identity
    return identity.service_account or model.metadata.name if identity else ""


def _command(
    spec: ModelSpec, name: str, commit: str | None, gpus: int, tokens: int | None
) -> tuple[str, tuple[str, ...]]:
    model = _model_argument(spec, name)
    if spec.serving.runtime == "transformers":
        return "accelerate", transformers_args(spec, model, commit, name)
    return "python3", vllm_args(spec, model, commit, name=name, gpus=gpus, tokens=tokens)


def _model_argument(spec: ModelSpec, name: str) -> str:
    """A hub id where the server downloads by itself, a folder everywhere else."""
    if spec.source.hugging_face:
        return spec.source.hugging_face.repo
    return spec.source.azure_volume.path if spec.source.azure_volume else f"{WEIGHTS}/{name}"


def _amounts(wanted: Any, gpus: int) -> dict[str, str | int]:
    amounts = {"cpu": wanted.cpu, "memory": wanted.memory, "nvidia.com/gpu": gpus or None}
    return {name: amount for name, amount in amounts.items() if amount is not None}


def _probe(probe: ProbeSpec) -> Probe:
    return Probe(
        initial_delay=probe.initial_delay_seconds,
        period=probe.period_seconds,
        timeout=probe.timeout_seconds,
        failures=probe.failure_threshold,
    )


def _weights(context: Context[Model]) -> tuple[Volume, ...]:
    source = context.entry.value.spec.source
    if source.azure_volume:
        mount = "/" + source.azure_volume.path.split("/")[1]
        kind, settings = _volume_source(context, source.azure_volume)
        return (Volume(name="weights", kind=kind, settings=settings, path=mount, read_only=True),)
    if source.azure_blob or source.azure_ml:
        return (Volume(name="weights", kind="emptyDir", settings={}, path=WEIGHTS),)
    return ()


def _volume_source(context: Context[Model], volume: AzureVolumeSource) -> tuple[str, dict[str, Any]]:
    if volume.claim:
        return "persistentVolumeClaim", {"claimName": volume.claim.name, "readOnly": True}
    if volume.blob and volume.blob.secret:
        attributes = {
            "storageAccount": volume.blob.account,
            "containerName": volume.blob.container,
            "secretName": volume.blob.secret,
            "mountOptions": "-o allow_other",
        }
        return "csi", {"driver": "blob.csi.azure.com", "readOnly": True, "volumeAttributes": attributes}
    return "persistentVolumeClaim", {"claimName": _blob_claim_name(context), "readOnly": True}


def _fetch(spec: ModelSpec, name: str) -> tuple[str, ...]:
    """Arguments of the image's `fetch-weights`; empty where nothing has to be fetched before the start."""
    into = ("--into", f"{WEIGHTS}/{name}")
    if spec.source.azure_blob:
        return (*_fetch_blob(spec.source.azure_blob), *into)
    return (*_fetch_ml(spec.source.azure_ml), *into) if spec.source.azure_ml else ()


def _fetch_blob(blob: AzureBlobSource) -> tuple[str, ...]:
    return ("azureblob", "--account", blob.account, "--container", blob.container, "--prefix", blob.prefix)


def _fetch_ml(source: AzureMLSource) -> tuple[str, ...]:
    home: tuple[str, ...] = ("--registry", source.registry or "")
    if source.workspace:
        place = source.workspace
        home = (
            "--subscription",
            place.subscription,
            "--resource-group",
            place.resource_group,
            "--workspace",
            place.name,
        )
    return ("azureml", *home, "--model", source.model, "--version", source.version)


def volume_claims(context: Context[Model]) -> tuple[VolumeClaim, ...]:
    """The claims that the entry's weights need and that we create."""
    volume = context.entry.value.spec.source.azure_volume
    if volume is None:
        return ()
    if volume.blob and not volume.blob.secret:
        return (
            VolumeClaim(
                name=_blob_claim_name(context),
                size=BLOB_VOLUME_SIZE,
                storage_class="",
                access_mode="ReadOnlyMany",
                volume=blob_volume_name(context),
            ),
        )
    return claims(volume.claim)


def _blob_claim_name(context: Context[Model]) -> str:
    """A bound volume can never point elsewhere, so its name carries where it points: another container, another name.

    The pod mounts the claim by name, so that the edit is a new revision beside the old.
    """
    target = json.dumps(_blob_target(context))
    return f"{context.entry.name}-weights-{hashlib.sha256(target.encode()).hexdigest()[:8]}"


def blob_volume_name(context: Context[Model]) -> str:
    """PersistentVolumes have no namespace, so the name carries it."""
    spec = context.entry.value.spec
    return f"{spec.namespace or spec.owner}-{_blob_claim_name(context)}"


def _blob_target(context: Context[Model]) -> dict[str, str]:
    """Everything of the volume that is immutable once it exists."""
    spec = context.entry.value.spec
    blob = spec.source.azure_volume.blob if spec.source.azure_volume else None
    if blob is None or spec.identity is None:
        return {}
    return {
        "account": blob.account,
        "container": blob.container,
        "resource_group": blob.resource_group or context.spec_of_cluster.azure.resource_group,
        "client_id": context.spec_of_cluster.identities.get(spec.identity.name, ""),
    }


def blob_pv(context: Context[Model]) -> BlobPv | None:
    """The PersistentVolume of a blob container that is mounted with the pod's own identity."""
    spec = context.entry.value.spec
    blob = spec.source.azure_volume.blob if spec.source.azure_volume else None
    if blob is None or blob.secret or spec.identity is None:
        return None
    handle = f"{blob_volume_name(context)}-{blob.account}-{blob.container}"
    return BlobPv(handle=handle, **_blob_target(context))
