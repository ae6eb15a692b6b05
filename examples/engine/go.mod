module example.org/engine

go 1.26.0

require (
	github.com/homerun-oci/homerun v0.0.0
	github.com/opencontainers/runtime-spec v1.3.0
)

require (
	github.com/coreos/go-systemd/v22 v22.7.0 // indirect
	github.com/godbus/dbus/v5 v5.2.4 // indirect
	golang.org/x/sys v0.49.0 // indirect
)

replace github.com/homerun-oci/homerun => ../..
