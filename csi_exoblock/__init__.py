"""A Kubernetes CSI driver for Exoscale Block Storage."""

__version__ = "0.1.0"
