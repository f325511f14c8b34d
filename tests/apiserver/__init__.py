"""A real Kubernetes API server for tests: etcd and kube-apiserver on loopback, ready in about three seconds.

The fixture `api_server` (`tests/conftest.py`) is one server for a whole test process; `running_api_server` is one of
your own, which may be killed and started again on the same data. Both take the programs that `make tools` builds, or
those in `KUBEBUILDER_ASSETS`. Nothing runs behind the API: no controller, no scheduler, no kubelet.
"""

from tests.apiserver.client import Answer, Api, Object, RefusedError
from tests.apiserver.definitions import load_definitions
from tests.apiserver.server import ADMIN, GUEST, ApiServer, running_api_server

__all__ = [
    "ADMIN",
    "GUEST",
    "Answer",
    "Api",
    "ApiServer",
    "Object",
    "RefusedError",
    "load_definitions",
    "running_api_server",
]
