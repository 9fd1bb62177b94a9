// Command list-pods is the function of the state ListPods.
package main

import (
	"os"

	"github.com/kubestep/kubestep/internal/pods"
	"github.com/kubestep/kubestep/internal/task"
	"github.com/kubestep/kubestep/internal/token"
)

func main() {
	lister := pods.Lister{
		Opener: task.Must(token.NewSealer(os.Getenv("KUBESTEP_SEAL_KEY"))),
		Clock:  pods.WallClock{},
	}
	task.Start("ListPods", lister.List)
}
