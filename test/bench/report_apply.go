package main

import (
	"maps"
	"slices"
)

func (r *report) applying(p func(string, ...any)) {
	p("## Applying manifests\n")
	p("ConfigMaps of about 1.5 KB, as YAML. Each turn begins in namespaces that are empty, one for each client, and does all that the tables say, one after the other: so the objects are new at first, and there later. There are %d turns, and ratios are the median of the turns' ratios.\n", applyRuns*r.options.runs)
	p("- **kubestep** is the whole invocation of PlanManifests or ApplyManifests, the deployed binaries, warm: it reads the manifests from S3 (here moto), asks the cluster how it serves their kinds, and plans or applies. Its memory is the peak of its environment, the cold invocation included. The other states are not in it.")
	p("- **raw requests** are the same server-side-apply requests (dry runs for a plan), eight at once. The objects are JSON already, and nobody reads the answers: the least that any client can take. Its time is that of the requests.")
	p("- **kubectl** is `kubectl apply --server-side`, with `--dry-run=server` for a plan: the process from its start to its end. It does not say what a plan would change.")
	p("- To say what would change in objects that are there, a client has to read them. **raw requests, and a get each** and `kubectl diff --server-side` do that also.\n")
	for _, n := range slices.Sorted(maps.Keys(r.applied)) {
		p("### %d ConfigMaps\n", n)
		p("| | client | time | CPU | peak memory | kubestep ÷ this |\n|---|---|--:|--:|--:|--:|")
		for _, t := range tasks {
			own := r.applied[n][t.title][byFunction]
			for _, client := range t.clients {
				f, of := r.applied[n][t.title][client], wall
				if client == byRequests || client == byMoreRequests {
					of = request
				}
				p("| %s | %s | %s | %s | %.0f MB | %.2f |", t.title, client, span(f, of), ms(f.median.cpu), f.max.memoryMB, ratio(own, f, wall, of))
			}
		}
		p("")
	}
}
