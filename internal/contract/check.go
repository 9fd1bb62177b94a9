package contract

import (
	"strconv"
	"strings"
)

// String is the check as a cause words it, such as "list pods in namespace shop" or
// "patch deployments.apps web in namespace shop". What it names may come from whoever
// wrote the manifests: a name that Kubernetes does not take for most kinds is quoted.
func (c Check) String() string {
	text := c.Verb + " " + quoted(c.Resource)
	if c.Group != "" {
		text += "." + quoted(c.Group)
	}
	if c.Name != "" {
		text += " " + quoted(c.Name)
	}
	switch c.Namespace {
	case "":
		return text
	case AllNamespaces:
		return text + " in all namespaces"
	default:
		return text + " in namespace " + quoted(c.Namespace)
	}
}

// quoted is a name as it is if it is a word, and else in quotes and on one line.
func quoted(name string) string {
	word := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-._:@*/", r)
	}
	if strings.TrimFunc(name, word) == "" {
		return name
	}
	return strconv.Quote(name)
}
