"""Reviews by which the API server says who may do what, without trying it."""

from __future__ import annotations

from dataclasses import dataclass

from csi_exoblock.concurrency import Deadline
from csi_exoblock.kubernetes.fields import Json, at
from csi_exoblock.kubernetes.source import Source

_AUTHORIZATION = "/apis/authorization.k8s.io/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """The right to do something with a kind of object.

    Attributes:
        group: The API group; empty for the core group.
        resource: The kind in the plural, with a subresource behind a slash.
        name: The only object, empty for all.
        namespace: The only namespace, empty for all, or for a kind without namespaces.
    """

    verb: str
    group: str = ""
    resource: str
    name: str = ""
    namespace: str = ""

    def __str__(self) -> str:
        kind = f"{self.resource}.{self.group}" if self.group else self.resource
        where = f" in namespace {self.namespace}" if self.namespace else ""
        return " ".join(filter(None, [self.verb, kind, self.name])) + where


@dataclass(frozen=True, slots=True)
class Account:
    """A service account."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class AccessReviews:
    """Asks the API server for rights. Every authenticated client may ask for its own."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def may_i(self, right: Right, deadline: Deadline) -> bool:
        """Return whether the client itself has a right; raises as `ApiServer.create`."""
        return self._ask("SelfSubjectAccessReview", {}, right, deadline)

    def may(self, account: Account, right: Right, deadline: Deadline) -> bool:
        """Return whether a service account has a right.

        Raises:
            KubernetesDenied: The client may not ask for the rights of others.
            KubernetesUnavailable: There was no answer, or none that can be read.
        """
        # Source: Kubernetes, "Authenticating": these are the groups of every service account.
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{account.namespace}")
        subject = {
            "user": f"system:serviceaccount:{account.namespace}:{account.name}",
            "groups": [*groups, "system:authenticated"],
        }
        return self._ask("SubjectAccessReview", subject, right, deadline)

    def _ask(self, kind: str, subject: Json, right: Right, deadline: Deadline) -> bool:
        resource, _, subresource = right.resource.partition("/")
        attributes = {
            "verb": right.verb,
            "group": right.group,
            "resource": resource,
            "subresource": subresource,
            "name": right.name,
            "namespace": right.namespace,
        }
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": kind,
            "spec": {**subject, "resourceAttributes": attributes},
        }
        answer = self._source.create(f"{_AUTHORIZATION}/{kind.lower()}s", review, deadline)
        return at(answer, "status", "allowed") is True
