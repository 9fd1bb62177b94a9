package awsfront

import (
	"slices"
	"sync"
	"time"
)

// Fault is a way in which requests fail. Empty fields match every request.
type Fault struct {
	Service   string // as it is signed for: lambda, eks, sts, states
	Operation string // as the API names it
	Region    string // that it is signed for
	Resource  string // name of the function or cluster, ARN of the role or state machine

	Delay   time.Duration // before the response
	Status  int           // of the response; 0 is the usual response, after Delay
	Code    string
	Message string
	Times   int // how many requests it applies to; 0 is all until it is removed
}

// Faults are the active faults. The zero value has none.
type Faults struct {
	mu sync.Mutex
	on []*Fault
}

// Add adds a fault. If several match a request, the first one that was added applies.
func (f *Faults) Add(fault Fault) (remove func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	added := &fault
	f.on = append(f.on, added)
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.on = slices.DeleteFunc(f.on, func(one *Fault) bool { return one == added })
	}
}

// take returns the fault that applies to a call, and counts it.
func (f *Faults) take(c call) (Fault, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, fault := range f.on {
		if !matches(fault.Service, c.service) || !matches(fault.Operation, c.operation) || !matches(fault.Region, c.region) || !matches(fault.Resource, c.resource) {
			continue
		}
		met := *fault
		if fault.Times > 0 {
			if fault.Times--; fault.Times == 0 {
				f.on = slices.Delete(f.on, i, i+1)
			}
		}
		return met, true
	}
	return Fault{}, false
}

func matches(wanted, got string) bool { return wanted == "" || wanted == got }
