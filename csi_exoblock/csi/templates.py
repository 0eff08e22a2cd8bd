"""Templates in the names and labels of a class: `{{variable}}` (N10)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from csi_exoblock.errors import InvalidRequest

_VARIABLE = re.compile(r"\{\{\s*([^{}\s]*)\s*\}\}")
_NAME_LENGTH = 255  # of volumes and snapshots. Source: the API's description, `name`

_METADATA = (
    "the sidecar must run with --extra-create-metadata, csi-resizer with --extra-modify-metadata"
)
_CLUSTER = "the driver must run with --cluster-id"

_OF_VOLUMES = {
    "pv.name": "csi.storage.k8s.io/pv/name",
    "pvc.name": "csi.storage.k8s.io/pvc/name",
    "pvc.namespace": "csi.storage.k8s.io/pvc/namespace",
}
_OF_SNAPSHOTS = {
    "snapshot.name": "csi.storage.k8s.io/volumesnapshot/name",
    "snapshot.namespace": "csi.storage.k8s.io/volumesnapshot/namespace",
    "content.name": "csi.storage.k8s.io/volumesnapshotcontent/name",
}


class Templates:
    """Fills in templates with a sidecar's metadata about the Kubernetes object of a request.

    Args:
        values: The variables; one that is known but has no value is empty.
        unique: The variable that must occur in a name, to make it unique.
        may_lack_values: Whether a variable without a value is left in the text; otherwise it is an
            error.
    """

    def __init__(
        self, values: Mapping[str, str], *, unique: str, may_lack_values: bool = False
    ) -> None:
        self._values = values
        self._unique = unique
        self._may_lack_values = may_lack_values

    def of_no_request(self) -> Templates:
        """Return these templates for the check of a class alone, without a sidecar's metadata."""
        return Templates(self._values, unique=self._unique, may_lack_values=True)

    @classmethod
    def of_volumes(cls, parameters: Mapping[str, str], *, cluster: str | None) -> Templates:
        """Take the variables from the parameters that the sidecar added for a volume."""
        return cls(_values(_OF_VOLUMES, parameters, cluster), unique="pv.name")

    @classmethod
    def of_snapshots(cls, parameters: Mapping[str, str], *, cluster: str | None) -> Templates:
        """Take the variables from the parameters that the sidecar added for a snapshot."""
        return cls(_values(_OF_SNAPSHOTS, parameters, cluster), unique="content.name")

    def fill(self, template: str, *, field: str) -> str:
        """Return the template with every variable replaced by its value.

        Args:
            field: The parameter or label of the template, for messages.

        Raises:
            InvalidRequest: A variable is unknown, has no value, or the braces don't match.
        """
        literal = _VARIABLE.sub("", template)
        if "{{" in literal or "}}" in literal:
            raise InvalidRequest(f"parameters: {field}: unpaired braces in {template[:100]!r}")
        return _VARIABLE.sub(lambda match: self._value(match[1], field), template)

    def name(self, template: str, *, field: str) -> str:
        """Return the unique name that a template gives to this volume or snapshot.

        Raises:
            InvalidRequest: As `fill`; or the template lacks the unique variable, or the name is too
                long.
        """
        if self._unique not in _VARIABLE.findall(template):
            raise InvalidRequest(
                f"parameters: {field} must contain {{{{{self._unique}}}}}, for names must differ"
            )
        name = self.fill(template, field=field)
        if len(name) > _NAME_LENGTH:
            raise InvalidRequest(
                f"parameters: {field} gives a name of {len(name)} characters; "
                f"at most {_NAME_LENGTH} are allowed"
            )
        return name

    def _value(self, variable: str, field: str) -> str:
        if variable not in self._values:
            raise InvalidRequest(
                f"parameters: {field}: unknown variable {variable[:100]!r}; "
                f"known are {', '.join(self._values)}"
            )
        if not self._values[variable] and self._may_lack_values:
            return f"{{{{{variable}}}}}"
        if not self._values[variable]:
            remedy = _CLUSTER if variable == "cluster" else _METADATA
            raise InvalidRequest(f"parameters: {field}: {variable} has no value; {remedy}")
        return self._values[variable]


def _values(
    sources: Mapping[str, str], parameters: Mapping[str, str], cluster: str | None
) -> dict[str, str]:
    values = {name: parameters.get(key, "") for name, key in sources.items()}
    return {**values, "cluster": cluster or ""}
