module sidecall.dev/sidecall

go 1.24
