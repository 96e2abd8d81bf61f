// The directories beside this file pin, version by version, every Go module that goes into etcd,
// etcdctl and etcdutl. To pin another version, copy this file into a directory with a go.mod that
// requires the three modules at that version, and run `go mod tidy -e` there.

//go:build tools

package tools

import (
	_ "go.etcd.io/etcd/etcdctl/v3"
	_ "go.etcd.io/etcd/etcdutl/v3"
	_ "go.etcd.io/etcd/server/v3"
)
