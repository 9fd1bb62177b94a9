package manifests

import (
	"fmt"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/kubestep/kubestep/internal/contract"
)

// text is the whole difference for a person, in the manner of a unified diff:
// what goes begins with "-", what comes with "+", and what is said of it with "#".
func text(name string, o contract.PlannedObject, changes []change) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", name, o.Action)
	if o.Unchecked != "" {
		fmt.Fprintf(&b, " (%s)", o.Unchecked)
	}
	b.WriteByte('\n')
	for _, said := range []struct {
		about string
		texts []string
	}{{"warning: ", o.Warnings}, {"conflict: ", o.Conflicts}, {"takes ", o.Takes}, {"", o.Notes}} {
		for _, one := range said.texts {
			fmt.Fprintf(&b, "  # %s%s\n", said.about, strings.ReplaceAll(one, "\n", " "))
		}
	}
	for _, c := range changes {
		fmt.Fprintf(&b, "  @ %s\n", c.path)
		if old, ok := c.old.(string); ok {
			if next, ok := c.new.(string); ok {
				lines(&b, old, next)
				continue
			}
		}
		values(&b, "-", c.old)
		values(&b, "+", c.new)
	}
	return b.String()
}

func values(b *strings.Builder, sign string, value any) {
	if value == nil {
		return
	}
	shown, ok := value.(string)
	if !ok {
		encoded, err := yaml.Marshal(value)
		if err != nil { // it was JSON before
			encoded = fmt.Append(nil, value)
		}
		shown = string(encoded)
	}
	for line := range strings.Lines(shown) {
		fmt.Fprintf(b, "  %s %s\n", sign, strings.TrimRight(line, "\n"))
	}
}

// lines leaves out the lines that two texts begin and end with alike.
func lines(b *strings.Builder, old, next string) {
	from, to := strings.Split(old, "\n"), strings.Split(next, "\n")
	for len(from) > 1 && len(to) > 1 && from[0] == to[0] {
		from, to = from[1:], to[1:]
	}
	for len(from) > 1 && len(to) > 1 && from[len(from)-1] == to[len(to)-1] {
		from, to = from[:len(from)-1], to[:len(to)-1]
	}
	values(b, "-", strings.Join(from, "\n"))
	values(b, "+", strings.Join(to, "\n"))
}
