// Command definition writes the definition of each state machine, from the Go values
// in statemachine.
//
//	go run ./statemachine/definition
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/kubestep/kubestep/statemachine"
)

// folder is where the definitions are, from the repository's root.
const folder = "statemachine"

func main() {
	for name, machine := range statemachine.Machines() {
		text, err := machine.JSON()
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, name+".asl.json"), text, 0o644) //nolint:gosec // anybody may read it
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "definition:", err)
			os.Exit(1)
		}
	}
}
