package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
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

// sbom writes the modules that the functions and the command are built from.
func (r release) sbom(ctx context.Context, program string) error {
	text, err := r.output(ctx, program, "mod", "-json", "-std", "-noserial", "-notimestamp", "-type", "application", ".")
	if err != nil {
		return err
	}
	var document map[string]any
	if err := json.Unmarshal([]byte(text), &document); err != nil {
		return fmt.Errorf("read the SBOM: %w", err)
	}
	// The program takes the version from the tags of a repository: a copy has none.
	metadata, _ := document["metadata"].(map[string]any)
	component, ok := metadata["component"].(map[string]any)
	if !ok {
		return errors.New("the SBOM names no component")
	}
	component["version"] = r.version
	content, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return fmt.Errorf("write the SBOM: %w", err)
	}
	return r.write("kubestep-"+r.version+".cdx.json", append(content, '\n'))
}
