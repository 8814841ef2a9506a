// Starts servers for the tests of models that another process serves.

package sidecall_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// server is a process that serves a model over each route.
type server struct {
	uri, http, grpc string
	process         *exec.Cmd
}

func (s *server) stop() {
	s.process.Process.Kill()
	s.process.Wait()
}

// serve serves a model until the server is stopped, or the test ends.
func serve(t testing.TB, path string, environment ...string) *server {
	command := os.Getenv("SIDECALL_TEST_COMMAND")
	if command == "" {
		command = "../../build/bin/sidecall"
	}
	socket := filepath.Join(t.TempDir(), "s.sock")
	process := exec.Command(command, "serve", path, "--at", "shm:"+socket, "--http", socket+".http",
		"--grpc", socket+".grpc", "--name", "model", "--log-level=error")
	process.Env = append(os.Environ(), environment...)
	process.Stderr = os.Stderr
	if err := process.Start(); err != nil {
		t.Fatalf("%s: %v; SIDECALL_TEST_COMMAND names the command", command, err)
	}
	s := &server{"shm:" + socket, "http+unix:" + socket + ".http/model",
		"grpc+unix:" + socket + ".grpc/model", process}
	t.Cleanup(s.stop)
	return s
}
