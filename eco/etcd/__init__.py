"""etcd: as a program, as an API, and as files on a disk."""
