"""The text of a new entry for a model: what `kaitops add` writes, with a comment where somebody should look again."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from generator.fit.shape import Cache, Shape
from generator.fit.verdict import Fit
from generator.model import API_VERSION
from generator.yamlout import scalar

LICENSE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
UNKNOWN_LICENSE = "unknown"
DTYPES = {4: "float32", 2: "bfloat16"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """Where the model will run on one cluster; `fit` is None where nobody can tell."""

    sku: str
    fit: Fit | None
    host: str = ""
    asked: bool = False
    """Somebody named the size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEntry:
    name: str
    owner: str
    namespace: str
    """Empty: the owner's."""
    repository: str
    commit: str
    """Empty: not known."""
    license: str
    """Empty: not known."""
    secret: str
    """Name of the Secret with the hub's token; empty for an open model."""
    vault_key: str
    context: int
    shape: Shape | None
    """None where the facts know it, or nobody does."""
    remote_code: bool
    clusters: Mapping[str, Placed]
    priced: str


def entry_name(repository: str) -> str:
    """A DNS label from the repository's name: `Qwen/Qwen3-8B` → `qwen3-8b`."""
    name = re.sub(r"[^a-z0-9]+", "-", repository.rpartition("/")[2].lower()).strip("-")
    return name if name[:1].isalpha() else f"model-{name}".rstrip("-")


def write_entry(entry: NewEntry) -> str:
    """The whole file."""
    return "\n".join(_lines(entry)) + "\n"


def _lines(entry: NewEntry) -> Iterator[str]:
    yield "# yaml-language-server: $schema=../schema/model.schema.json"
    yield f"apiVersion: {API_VERSION}"
    yield "kind: Model"
    yield "metadata:"
    yield f"  name: {scalar(entry.name)}"
    yield "spec:"
    yield f"  owner: {scalar(entry.owner)}"
    if entry.namespace:
        yield f"  namespace: {scalar(entry.namespace)}"
    yield from _license(entry)
    yield from _source(entry)
    if entry.shape:
        yield from _architecture(entry.shape)
    yield "  serving:"
    yield "    # Tokens of prompt and answer together; a longer context takes more of the GPU."
    yield f"    context: {entry.context}"
    if entry.remote_code:
        yield "    # The repository's own code runs on the GPU node: read it at the commit above."
        yield "    trustRemoteCode: true"
    yield "  clusters:"
    for cluster, placed in sorted(entry.clusters.items()):
        yield from _cluster(entry, cluster, placed)


def _license(entry: NewEntry) -> Iterator[str]:
    known = LICENSE.fullmatch(entry.license)
    if not known:
        yield "  # Its card names no licence that fits here: look it up before anybody uses the model."
    yield f"  license: {scalar(entry.license if known else UNKNOWN_LICENSE)}"


def _source(entry: NewEntry) -> Iterator[str]:
    yield "  source:"
    yield "    preset:"
    yield f"      name: {scalar(entry.repository)}"
    if entry.commit:
        yield "      # The head of its main branch when this entry was added; the weights stay at it."
        yield f"      revision: {scalar(entry.commit)}"
    else:
        yield "      # Without a `revision` KAITO follows the main branch: pin the commit that you tested."
    if entry.secret:
        yield "      # Gated or private: the Secret must hold a token that may read it."
        yield "      token:"
        yield f"        secret: {scalar(entry.secret)}"
        if entry.vault_key:
            yield f"        vaultKey: {scalar(entry.vault_key)}"


def _architecture(shape: Shape) -> Iterator[str]:
    yield "  # From its config.json and the size of its weight files, for `kaitops fit`."
    yield "  architecture:"
    yield f"    weightsGiB: {round(shape.weights_gib, 2)}"
    yield f"    layers: {shape.layers}"
    yield f"    attentionHeads: {shape.attention_heads}"
    yield f"    kvHeads: {shape.kv_heads}"
    yield f"    headDim: {shape.head_dim}"
    yield f"    tokenLimit: {shape.token_limit}"
    yield f"    hiddenSize: {shape.hidden_size}"
    if shape.intermediate_size:
        yield f"    intermediateSize: {shape.intermediate_size}"
    if shape.vocabulary:
        yield f"    vocabulary: {shape.vocabulary}"
    if shape.tied:
        yield "    tiedEmbeddings: true"
    if shape.quantization:
        yield f"    quantization: {scalar(shape.quantization)}"
    if not shape.quantization and DTYPES[shape.weight_bytes] != "bfloat16":
        yield f"    dtype: {DTYPES[shape.weight_bytes]}"
    if not _is_plain(shape):
        yield "    cache:"
        yield from (f"      - {_group(shape, cache)}" for cache in shape.cache)


def _is_plain(shape: Shape) -> bool:
    """Every layer is full attention with the model's own heads, which is what an entry without groups says."""
    return [(one.kind, one.layers, one.width) for one in shape.cache] == [
        ("full", shape.layers, 2 * shape.kv_heads * shape.head_dim)
    ]


def _group(shape: Shape, cache: Cache) -> str:
    fields: dict[str, int | str] = {"kind": cache.kind, "layers": cache.layers}
    if cache.kind == "latent":
        fields["width"] = cache.width
    elif cache.kind == "state":
        fields["stateBytes"] = cache.state_bytes
    elif (cache.shards, cache.width) != (shape.kv_heads, 2 * shape.kv_heads * shape.head_dim):
        fields |= {"kvHeads": cache.shards, "headDim": cache.width // (2 * cache.shards)}
    fields |= {"window": cache.window} if cache.window else {}
    fields |= {"tokenBytes": cache.token_bytes} if cache.token_bytes else {}
    return "{" + ", ".join(f"{name}: {value}" for name, value in fields.items()) + "}"


def _cluster(entry: NewEntry, cluster: str, placed: Placed) -> Iterator[str]:
    fit = placed.fit
    if fit is None:
        yield "    # Nobody can tell whether it fits: watch its first start."
    else:
        price = "at an unknown price" if fit.usd_per_hour is None else f"at {fit.usd_per_hour:.2f} USD per hour"
        nodes = "one node" if fit.planned == 1 else f"{fit.planned} nodes"
        chosen = "The size asked for" if placed.asked else "The cheapest allowed size that fits"
        yield f"    # {chosen}: {nodes} {price} (list price of {entry.priced}),"
        yield f"    # {fit.headroom_gib:.1f} GiB left on a GPU, at most {fit.max_context:,} tokens."
    host = f", host: {scalar(placed.host)}" if placed.host else ""
    yield f"    {scalar(cluster)}: {{sku: {scalar(placed.sku)}{host}}}"
