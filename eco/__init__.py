"""etcd-cloud-operator: a self-managing etcd."""

__version__ = "0.1.0"
