//go:build sidecall_shared

package sidecall

// The program loads libsidecall.so when it starts. pkg-config tells where it is.

// #cgo pkg-config: sidecall
import "C"
