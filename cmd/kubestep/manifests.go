package main

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/kubestep/kubestep/internal/manifests"
	"github.com/kubestep/kubestep/internal/objects"
	"github.com/kubestep/kubestep/internal/shell"
)

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

// readFiles returns the manifests of files, one after the other, and where each object is.
func readFiles(cmd *cobra.Command, names []string, namespace string, wrong *problems) (string, []string) {
	var files []file
	size, before := 0, len(*wrong)
	for _, name := range names {
		at := name
		if name != "-" {
			at = "@" + name
		}
		if about, err := os.Stat(name); name != "-" && err == nil && about.IsDir() {
			hint := ""
			if cmd.Flags().Lookup("filename").Value.Type() == "stringArray" {
				hint = fmt.Sprintf(". Repeat --filename for each file in it, or with kustomize: kubectl kustomize %s | kubestep apply CLUSTER -f -", shell.Quote(name))
			}
			wrong.add("--filename %s is a directory%s", name, hint)
			continue
		}
		text, err := read(cmd.Context(), at, cmd.InOrStdin())
		if err != nil {
			wrong.add("--filename %s %v", name, err)
		}
		size += len(text)
		files = append(files, file{name: name, text: strings.TrimPrefix(text, "\ufeff")})
	}
	if len(*wrong) > before {
		return "", nil
	}
	if size > manifests.MaxBytes { // too large to read even in S3
		wrong.add("the files have %d bytes: expected at most %d. Apply them in several executions", size, manifests.MaxBytes)
		return "", nil
	}
	readEach(files, namespace, wrong)
	if len(*wrong) > before {
		return "", nil
	}
	text, err := join(files, namespace)
	if err != nil {
		wrong.add("--filename: %v", err)
	}
	return text, origins(files)
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
			wrong.add("--filename %s: %s", f.name, inFile(f.name, f.text, err))
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
	text = textOf(given)
	_, err = manifests.Read([]byte(text), rules(namespace))
	return text, err //nolint:wrapcheck // it is about the manifests already
}

// textOf is a text of objects, and of nothing else.
func textOf(all []objects.Object) string {
	texts := make([]string, len(all))
	for i, o := range all {
		texts[i] = string(o.JSON)
	}
	return strings.Join(texts, "\n---\n") + "\n"
}

// named is an object's name after its namespace.
func named(namespace, name string) string {
	if namespace == "" {
		return name
	}
	return namespace + "/" + name
}
