module demo

go 1.24

require sidecall.dev/sidecall v0.0.0

replace sidecall.dev/sidecall => ../../../bindings/go
