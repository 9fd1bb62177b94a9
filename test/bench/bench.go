package main

import (
	"github.com/kubestep/kubestep/local/world"
)

type bench struct {
	options
	world *world.World
	dir   string
	// kubeconfig is for the clients that are compared.
	kubeconfig string
}
