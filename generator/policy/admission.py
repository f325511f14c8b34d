"""The request that an API server would show a policy: which object, in what way, asked for by whom."""

from dataclasses import dataclass
from typing import Any

from generator.document import Body

SERVICE_ACCOUNT = "system:serviceaccount:"
IRREGULAR = {"Endpoints": "endpoints"}
ANYBODY = "somebody"


def service_account(namespace: str, name: str) -> str:
    return f"{SERVICE_ACCOUNT}{namespace}:{name}"


@dataclass(frozen=True, slots=True)
class Admission:
    """An object on its way in; with `old`, an update of it."""

    body: Body
    old: Body | None = None
    user: str = ANYBODY

    @property
    def operation(self) -> str:
        return "CREATE" if self.old is None else "UPDATE"

    @property
    def request(self) -> dict[str, Any]:
        """CEL's `request`, as far as it can be known here."""
        group, version = group_version(self.body)
        metadata = self.body.get("metadata") or {}
        return {
            "kind": {"group": group, "version": version, "kind": self.body.get("kind", "")},
            "resource": {"group": group, "version": version, "resource": plural(str(self.body.get("kind", "")))},
            "operation": self.operation,
            "name": metadata.get("name", ""),
            "namespace": metadata.get("namespace", ""),
            "userInfo": {"username": self.user, "groups": groups_of(self.user)},
            "dryRun": False,
        }


def group_version(body: Body) -> tuple[str, str]:
    group, _, version = str(body.get("apiVersion", "")).rpartition("/")
    return group, version


def plural(kind: str) -> str:
    """The resource of a kind, by the rule that Kubernetes itself guesses with."""
    name = kind.lower()
    if kind in IRREGULAR:
        return IRREGULAR[kind]
    if name.endswith("s"):
        return f"{name}es"
    return f"{name[:-1]}ies" if name.endswith("y") else f"{name}s"


def groups_of(user: str) -> list[str]:
    """The groups that authentication gives a user."""
    if not user.startswith(SERVICE_ACCOUNT):
        return ["system:authenticated"]
    namespace = user.removeprefix(SERVICE_ACCOUNT).split(":")[0]
    return ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"]
