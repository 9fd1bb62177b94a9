package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/manifests"
	"github.com/kubestep/kubestep/internal/objects"
)

// Everybody who may read an execution reads its input, for 90 days. So the command reads
// manifests as the functions do, and starts nothing if they would refuse them: above all
// a Secret, which is in the history as soon as the execution starts.

// rules apply to manifests in an execution input. Which of the restricted kinds are
// allowed is a parameter of the stack, so load-manifests decides that.
func rules(namespace string) manifests.Rules {
	return manifests.Rules{Namespace: namespace, AnyKind: true, Inline: true}
}

// file is a file with manifests, and what is read in it.
type file struct {
	name    string
	text    string
	objects []objects.Object
}

// readFiles returns the manifests of files, one after the other.
func readFiles(cmd *cobra.Command, names []string, namespace string, wrong *problems) string {
	var files []file
	size, before := 0, len(*wrong)
	for _, name := range names {
		at := name
		if name != "-" {
			at = "@" + name
		}
		text, err := read(at, cmd.InOrStdin())
		if err != nil {
			wrong.add("--filename %s %v", name, err)
		}
		size += len(text)
		files = append(files, file{name: name, text: strings.TrimPrefix(text, "\ufeff")})
	}
	if len(*wrong) > before {
		return ""
	}
	if size > manifests.MaxBytes { // too large to read even in S3
		wrong.add("the files have %d bytes: expected at most %d. Apply them in several executions", size, manifests.MaxBytes)
		return ""
	}
	readEach(files, namespace, wrong)
	if len(*wrong) > before {
		return ""
	}
	text, err := join(files, namespace)
	if err != nil {
		wrong.add("--filename: %v", err)
	}
	return text
}

// readEach reads the objects of each file, and tells what is wrong by the name of the file.
func readEach(files []file, namespace string, wrong *problems) {
	_, none := manifests.Read(nil, rules(namespace))
	in := map[string]string{}
	for i := range files {
		f := &files[i]
		var err error
		f.objects, err = manifests.Read([]byte(f.text), rules(namespace))
		// A file of comments is fine among others.
		if err != nil && (len(files) == 1 || err.Error() != none.Error()) {
			wrong.add("--filename %s: %v", f.name, err)
		}
		for _, o := range f.objects {
			key := strings.Join([]string{o.Group, o.Kind, o.Namespace, o.Name}, "/")
			if first, again := in[key]; again {
				wrong.add("--filename %s: %s %s is in %s already", f.name, o.Kind, named(o.Namespace, o.Name), first)
				continue
			}
			in[key] = f.name
		}
	}
}

// join makes one text of the files, as they are if that means the same. It does not
// mean the same if a file has directives, or is not in UTF-8, as JSON is.
func join(files []file, namespace string) (string, error) {
	var texts []string
	var given []objects.Object
	for _, f := range files {
		texts = append(texts, strings.TrimSuffix(f.text, "\n"))
		given = append(given, f.objects...)
	}
	text := strings.Join(texts, "\n---\n") + "\n"
	read, err := manifests.Read([]byte(text), rules(namespace))
	same := err == nil && utf8.ValidString(text) && slices.EqualFunc(read, given, func(a, b objects.Object) bool { return bytes.Equal(a.JSON, b.JSON) })
	if same {
		return text, nil
	}
	texts = nil
	for _, o := range given {
		texts = append(texts, string(o.JSON))
	}
	text = strings.Join(texts, "\n---\n") + "\n"
	_, err = manifests.Read([]byte(text), rules(namespace))
	return text, err //nolint:wrapcheck // it is about the manifests already
}

// named is an object's name after its namespace.
func named(namespace, name string) string {
	if namespace == "" {
		return name
	}
	return namespace + "/" + name
}

// checkInline reads the manifests in an execution input of apply-manifests.
func checkInline(document json.RawMessage) error {
	var keys map[string]json.RawMessage
	if json.Unmarshal(document, &keys) != nil {
		return nil //nolint:nilerr // what is wrong with it is said elsewhere
	}
	var namespace string
	if json.Unmarshal(keys["namespace"], &namespace) != nil || namespace == "" {
		namespace = "default"
	}
	for key, value := range keys {
		// A key in another spelling is refused, but by then it is in the history.
		if !strings.EqualFold(key, "manifests") || string(value) == "null" {
			continue
		}
		if len(value) > applymanifests.MaxInline {
			return fmt.Errorf("the manifests have %d bytes: expected at most %d in an execution input. Put them in S3 and set source, as --source does", len(value), applymanifests.MaxInline)
		}
		if _, err := manifests.ReadInline(value, rules(namespace)); err != nil {
			return err //nolint:wrapcheck // it is about the manifests already
		}
	}
	return nil
}

// checkFleet is checkInline for the request in an execution input of fleet, whatever
// its workflow is: one that is misspelt is refused only after the start.
func checkFleet(document json.RawMessage) error {
	var input struct {
		Request json.RawMessage `json:"request"`
	}
	if json.Unmarshal(document, &input) != nil || len(input.Request) == 0 {
		return nil //nolint:nilerr // as in checkInline
	}
	return checkInline(input.Request)
}
