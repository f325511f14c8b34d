"""How do many threads speak to one API server, and follow what happens in it?

On top of the tests' own client: a connection for each thread, changes by merge patch, and the stream of a watch.
"""

import json
import ssl
import threading
import time
from collections.abc import Iterator
from http.client import HTTPException, HTTPSConnection
from urllib.parse import urlsplit

from tests.apiserver import ADMIN, Api, ApiServer, Object

MERGE = "application/merge-patch+json"
IDLE_SECONDS = 60
"""Less than the 90 s after which the API server closes an idle connection."""

PATHS = {
    "AppProject": "/apis/argoproj.io/v1alpha1/appprojects",
    "Application": "/apis/argoproj.io/v1alpha1/applications",
    "ConfigMap": "/api/v1/configmaps",
    "Deployment": "/apis/apps/v1/deployments",
    "ExternalSecret": "/apis/external-secrets.io/v1/externalsecrets",
    "Gateway": "/apis/gateway.networking.k8s.io/v1/gateways",
    "HTTPRoute": "/apis/gateway.networking.k8s.io/v1/httproutes",
    "InferenceSet": "/apis/kaito.sh/v1beta1/inferencesets",
    "Namespace": "/api/v1/namespaces",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/networkpolicies",
    "PersistentVolumeClaim": "/api/v1/persistentvolumeclaims",
    "RAGEngine": "/apis/kaito.sh/v1beta1/ragengines",
    "Service": "/api/v1/services",
    "Workspace": "/apis/kaito.sh/v1beta1/workspaces",
}
"""What is watched: the kinds that a test asks for or a stand-in answers."""


class Kube:
    """One API server, as somebody who may do everything."""

    def __init__(self, server: ApiServer) -> None:
        self.server = server
        self._of_thread = threading.local()
        self._made: list[Api] = []

    @property
    def api(self) -> Api:
        """This thread's own connection, made anew before the server ends one that was not used for long."""
        if not hasattr(self._of_thread, "api"):
            self._of_thread.api = Api(self.server.url, self.server.ca_file, self.server.tokens[ADMIN])
            self._made.append(self._of_thread.api)
        elif time.monotonic() - self._of_thread.used > IDLE_SECONDS:
            self._of_thread.api.close()
        self._of_thread.used = time.monotonic()
        found: Api = self._of_thread.api
        return found

    def close(self) -> None:
        for api in self._made:
            api.close()

    def merge(self, item: Object, change: Object, part: str = "") -> Object:
        """Change an object, or the named part of it; null removes a field."""
        found: Object = self.api.request("PATCH", self.api.path(item) + part, change, content_type=MERGE).body
        return found

    def version(self, kind: str) -> str:
        """The resource version of the kind's list as it is now."""
        return str(self.api.request("GET", PATHS[kind]).body["metadata"]["resourceVersion"])

    def watch(self, kind: str, version: str) -> Iterator[Object]:
        """Each event after `version`, until the server ends the stream."""
        place = urlsplit(self.server.url)
        trust = ssl.create_default_context(cafile=str(self.server.ca_file))
        connection = HTTPSConnection(place.hostname or "", place.port, context=trust)
        try:
            connection.request(
                "GET",
                f"{PATHS[kind]}?watch=true&resourceVersion={version}&timeoutSeconds=7200",
                headers={"Authorization": f"Bearer {self.server.tokens[ADMIN]}"},
            )
            for line in connection.getresponse():
                yield json.loads(line)
        except (OSError, HTTPException, ValueError):
            return  # the server was stopped in the middle of a line
        finally:
            connection.close()
