"""kubeconform with schemas from this machine alone: Kubernetes' own by minor, the others as we wrote them."""

import json
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[1]
KUBECONFORM = ROOT / ".cache" / "tools" / "bin" / "kubeconform"
LAYOUT = "{{.Group}}/{{.ResourceKind}}_{{.ResourceAPIVersion}}.json"
# Where nothing listens: an attempt to fetch a schema fails instead of succeeding on some machines.
NO_NETWORK = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9")


def kubeconform(core: Path) -> list[str]:
    """The command, before its files; `core` holds what `write_core_schemas` wrote."""
    locations = (f"{core}/{LAYOUT}", f"{ROOT}/generator/schemas/{LAYOUT}")
    options = [word for location in locations for word in ("-schema-location", location)]
    return [str(KUBECONFORM), "-strict", "-summary", *options]


def write_core_schemas(minor: str, folder: Path) -> None:
    """One small file per kind in kubeconform's layout, which refers to the strict definitions of that minor."""
    spec = find_spec("kubernetes_validate")
    assert spec is not None
    assert spec.origin is not None
    data = Path(spec.origin).parent / "kubernetes-json-schema" / f"v{minor}.0-local-strict" / "_definitions.json"
    definitions = json.loads(data.read_text())
    # Its own address is a web page: as a plain file it is resolved on the disk.
    del definitions["$id"]
    (folder / "definitions.json").write_text(json.dumps(definitions))
    for name, definition in definitions["$defs"].items():
        for each in definition.get("x-kubernetes-group-version-kind", ()):
            # The core group has no name, and kubeconform puts the version in its place.
            file = folder / (each["group"] or each["version"]) / f"{each['kind'].lower()}_{each['version']}.json"
            file.parent.mkdir(exist_ok=True)
            reference = f"{(folder / 'definitions.json').as_uri()}#/$defs/{name}"
            file.write_text(json.dumps({"$schema": definitions["$schema"], "$ref": reference}))
