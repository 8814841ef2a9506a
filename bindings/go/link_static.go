//go:build !sidecall_shared

package sidecall

// The program contains the library, and needs no file of sidecall. Here the library is where the
// repository builds it; tools/package/go.py puts one into the module, and replaces this file.

// #cgo CFLAGS: -DSIDECALL_STATIC
// #cgo LDFLAGS: -L${SRCDIR}/../../build/lib -l:libsidecall.a -lstdc++ -lm -ldl -lpthread
import "C"
