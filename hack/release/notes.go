package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// notes writes what changed since the release before, by the areas that the
// subjects of commits begin with (CONTRIBUTING.md).
func (r release) notes(ctx context.Context) error {
	tags, err := r.output(ctx, "git", "tag", "--merged", "HEAD", "--list", "v*", "--sort=-version:refname")
	if err != nil {
		return err
	}
	commits, since := "HEAD", ""
	for tag := range strings.FieldsSeq(tags) {
		if tag != r.version && semver.MatchString(tag) {
			commits, since = tag+"..HEAD", tag
			break
		}
	}
	log, err := r.output(ctx, "git", "log", "--no-merges", "--reverse", "--format=%h %s", commits)
	if err != nil {
		return err
	}
	return r.write("release-notes.md", []byte(notes(r.version, since, log)))
}

// notes arranges the lines of a log, each a hash and a subject.
func notes(version, since, log string) string {
	const other = "other"
	areas := map[string][]string{}
	for line := range strings.Lines(log) {
		hash, subject, _ := strings.Cut(strings.TrimSpace(line), " ")
		area, change, ok := strings.Cut(subject, ": ")
		if !ok || strings.Contains(area, " ") && !strings.Contains(area, ", ") {
			area, change = other, subject
		}
		areas[area] = append(areas[area], fmt.Sprintf("- %s (%s)", change, hash))
	}
	names := slices.Sorted(maps.Keys(areas))
	if last := slices.Index(names, other); last >= 0 {
		names = append(slices.Delete(names, last, last+1), other)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# kubestep %s\n\n", version)
	b.WriteString("docs/deploy.md says how to deploy these files and how to check where they come from.\n\n")
	if since != "" {
		fmt.Fprintf(&b, "Changes since %s:\n", since)
	} else {
		b.WriteString("Changes:\n")
	}
	for _, name := range names {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", name, strings.Join(areas[name], "\n"))
	}
	return b.String()
}

// module is this repository in the SBOM, with the version from git or without one.
var module = regexp.MustCompile(`(pkg:golang/github\.com/kubestep/kubestep)(@[^?"]*)?(["?])`)

// sbom writes the modules that the functions and the command are built from.
func (r release) sbom(ctx context.Context, program string) error {
	// Short purls do not name the system that this runs on.
	text, err := r.output(ctx, program, "mod", "-json", "-std", "-short-purls", "-noserial", "-notimestamp", "-type", "application", ".")
	if err != nil {
		return err
	}
	document, err := withVersion(text, r.version)
	if err != nil {
		return fmt.Errorf("the SBOM: %w", err)
	}
	return r.write("kubestep-"+r.version+".cdx.json", document)
}

// withVersion sets the version of the component that an SBOM is about, which
// depends on the state of the repository.
func withVersion(text, version string) ([]byte, error) {
	var document map[string]any
	if err := json.Unmarshal([]byte(module.ReplaceAllString(text, "$1@"+version+"$3")), &document); err != nil {
		return nil, fmt.Errorf("is not valid JSON: %w", err)
	}
	metadata, _ := document["metadata"].(map[string]any)
	component, ok := metadata["component"].(map[string]any)
	if !ok {
		return nil, errors.New("names no component")
	}
	component["version"] = version
	indented, err := json.MarshalIndent(document, "", "  ")
	return append(indented, '\n'), err
}
