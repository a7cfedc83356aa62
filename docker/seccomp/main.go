// Prints the seccomp profile for containers that run a driver: Docker's default profile, and io_uring's calls.
//
//	cd docker/seccomp && go run . >../seccomp.json
//
// The default profile comes from the module that Docker Engine itself is built with; its version stands in go.mod.
package main

import (
	"encoding/json"
	"log"
	"os"

	"github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

func main() {
	profile := seccomp.DefaultProfile()
	profile.Syscalls = append(profile.Syscalls, &seccomp.Syscall{
		LinuxSyscall: specs.LinuxSyscall{
			Names:  []string{"io_uring_setup", "io_uring_enter", "io_uring_register"},
			Action: specs.ActAllow,
		},
		Comment: "The load generator's sockets and timers.",
	})
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", "\t")
	if err := out.Encode(profile); err != nil {
		log.Fatal(err)
	}
}
