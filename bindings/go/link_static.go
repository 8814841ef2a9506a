//go:build !sidecall_shared

package sidecall

// The program contains the library, and needs no other file. It looks for the archive in the
// module, as in a package, and then where the repository builds it.

// #cgo amd64 LDFLAGS: -L${SRCDIR}/lib/linux_amd64
// #cgo arm64 LDFLAGS: -L${SRCDIR}/lib/linux_arm64
// #cgo CFLAGS: -DSIDECALL_STATIC
// #cgo LDFLAGS: -L${SRCDIR}/../../build/lib -l:libsidecall.a -lstdc++ -lm -ldl -lpthread
import "C"
