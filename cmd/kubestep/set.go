package main

import (
	"math"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubestep/kubestep/internal/contract/applymanifests"
)

// setRequest is a request whose prune is as a person writes it: true, or what may be deleted;
// and whose jobs have the keys that flags set.
type setRequest struct {
	applymanifests.Request
	Prune any            `json:"prune"`
	Jobs  map[string]any `json:"jobs"`
}

// pruning are the flags that say what may be deleted of a set.
type pruning struct {
	max   int
	kinds []string
}

// addFlags adds the flags that name a set and say what may be deleted of it.
func (p *pruning) addFlags(cmd *cobra.Command, start *starter, request *setRequest, members string) {
	flags := cmd.Flags()
	flags.StringVar(&request.Set, "set", "", members)
	flags.IntVar(&p.max, "prune-max", 0, "delete at most this `NUMBER` of objects, or nothing at all")
	flags.StringSliceVar(&p.kinds, "prune-kinds", nil, "also delete objects of this `KIND`, which take others along, or data; repeat it for more")
	start.setFlags(map[string]any{"set": &request.Set, "prune-max": &request.Prune, "prune-kinds": &request.Prune})
	if err := cmd.RegisterFlagCompletionFunc("set", completeName(setList)); err != nil {
		panic(err) // the flag does not exist
	}
	complete(cmd, "prune-max")
	complete(cmd, "prune-kinds", applymanifests.ProtectedKinds()...)
}

// given reports whether a flag says what may be deleted.
func (p *pruning) given(cmd *cobra.Command) bool {
	return cmd.Flags().Changed("prune-max") || cmd.Flags().Changed("prune-kinds")
}

// value is prune in the input.
func (p *pruning) value(cmd *cobra.Command) any {
	rails := map[string]any{}
	if cmd.Flags().Changed("prune-max") {
		rails["max"] = p.max
	}
	if cmd.Flags().Changed("prune-kinds") {
		rails["kinds"] = p.kinds
	}
	if len(rails) == 0 {
		return true
	}
	return rails
}

// waits adds to the request for how long the execution waits, if the flag --wait says so.
func waits(cmd *cobra.Command, request *setRequest, wait time.Duration, planOnly bool, wrong *problems) {
	if !cmd.Flags().Changed("wait") {
		return
	}
	request.Wait.TimeoutSeconds = int(math.Ceil(wait.Seconds()))
	if wait < time.Second || wait > applymanifests.MaxWaitSeconds*time.Second {
		wrong.add("--wait %s is not between 1s and 1h", wait)
	}
	if planOnly {
		wrong.add("--plan and --wait cannot be used together: a plan changes nothing")
	}
}
