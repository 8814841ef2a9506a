// Says what is missing in a build without cgo.

//go:build !cgo

package sidecall

var _ = sidecall_needs_cgo__set_CGO_ENABLED_to_1_and_install_a_C_compiler
