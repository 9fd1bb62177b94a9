//go:build linux

package memory

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/documents"
	"github.com/kubestep/kubestep/internal/manifests"
)

// fill returns before, item again and again, and after, of at most this length.
func fill(before, item, after string, length int) string {
	return before + strings.Repeat(item, (length-len(before)-len(after))/len(item)) + after
}

// numbered is fill with items that differ.
func numbered(before, item, after string, length int) string {
	var text strings.Builder
	text.WriteString(before)
	for i := 0; text.Len()+len(item)+10 < length-len(after); i++ {
		fmt.Fprintf(&text, item, i)
	}
	return text.String() + after
}

// Whoever may write to the bucket of manifests writes them.
func TestManifests(t *testing.T) {
	const (
		dense  = documents.MaxDocument
		object = `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{`
	)
	for sentence, text := range map[string]string{
		"of many items":                      fill("a: [", "b,", "]", 2_000_000),
		"of many items, too many":            fill("a: [", "b,", "]", dense),
		"of many mappings":                   fill("a: [", "{a: b},", "]", dense),
		"of many mappings, not too many":     fill("a: [", "{a: b},", "]", 2_000_000),
		"of empty mappings":                  fill("a: [", "{},", "]", 1_490_000),
		"of empty items":                     fill("a:\n", "-\n", "", 2_000_000),
		"of many keys":                       numbered("{", "k%x,", "}", dense),
		"of many keys in lines":              numbered("", "k%x:\n", "", dense),
		"of many small texts":                numbered("a: [", "'%x',", "]", dense),
		"of many aliases":                    fill("a: &a b\nc: [", "*a,", "]", dense),
		"of aliases of much text":            "a: &a " + strings.Repeat("x", 1<<20) + "\nb: [" + strings.Repeat("*a,", 1000) + "]",
		"of many anchors":                    numbered("a: [", "&a%x b,", "]", dense),
		"of many tags":                       fill("a: [", "! b,", "]", dense),
		"of many comments":                   fill("a: b\n", "# a\n", "", dense),
		"of many ends of lines in YAML 1.1":  fill("a: \"", "\u2028", "\"", dense),
		"of many escapes":                    fill("a: \"", `\0`, "\"", dense),
		"of many documents":                  fill("", "---\na: b\n", "", manifests.MaxBytes),
		"of small documents that are dense":  strings.Repeat(fill("a: [", "b,", "]", 32<<10)+"\n---\n", 300),
		"of small documents that grow":       numbered("", "---\napiVersion: v1\nkind: A\nmetadata: {name: a%x}\na: &a "+strings.Repeat("x", 10<<10)+"\nb: ["+strings.Repeat("*a,", 250)+"]\n", "", 9<<20),
		"of dense documents":                 strings.Repeat(fill("a: [", "b,", "]", 1_990_000)+"\n---\n", 5),
		"of broken documents":                strings.Repeat(fill("a: [", "b,", "", 1_990_000)+"\n---\n", 5),
		"of JSON values":                     fill("", "{}", "", manifests.MaxBytes),
		"of JSON values that are objects":    numbered("", `{"apiVersion":"v1","kind":"A","metadata":{"name":"a%x"}}`, "", manifests.MaxBytes),
		"of empty documents":                 fill("", "---\n", "", manifests.MaxBytes),
		"of an array in JSON":                fill(`{"a":[`, "0,", "0]}", manifests.MaxBytes),
		"of empty objects in JSON":           fill(`{"a":[`, "{},", "{}]}", manifests.MaxBytes),
		"of many keys in JSON":               numbered(object+`"a":"b"`, `,"k%x":0`, "}}", manifests.MaxBytes),
		"of an object for each byte":         `{"apiVersion":"v1","kind":"List","items":[` + strings.TrimSuffix(numbered("", `{"apiVersion":"v1","kind":"A","metadata":{"name":"a%x"}},`, "", 80_000), ",") + fill("", ",{}", "]}", manifests.MaxBytes-90_000),
		"of Lists in Lists":                  strings.Repeat(`{"apiVersion":"v1","kind":"List","items":[`, 100) + fill(object, `"a":"b",`, `"a":"b"}}`, 9<<20) + strings.Repeat("]}", 100),
		"of Lists in Lists, as YAML":         strings.Repeat(`{apiVersion: v1, kind: List, items: [`, 120) + fill(object, `"a":"b",`, `"a":"b"}}`, 2<<20) + strings.Repeat("]}", 120),
		"of a text in UTF-32 of 10 MiB":      "\xff\xfe\x00\x00" + fill("", "a\x00\x00\x00:\x00\x00\x00\n\x00\x00\x00", "", manifests.MaxBytes-8),
		"of a Secret with many values":       numbered("apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData:\n", "  k%x: d\n", "", dense),
		"of a Secret of many wrong values":   numbered("apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData:\n", "  k%x: 1\n", "", dense),
		"of merges that double":              "a0: &a0 {k: v}\n" + numbered("", "a: &a [*a0, *a0]\nb%x: {<<: *a}\n", "", 1<<20),
		"of one line of 10 MiB":              fill("", "a", "", manifests.MaxBytes),
		"of carriage returns":                fill("", "\r", "", manifests.MaxBytes),
		"of nested sequences, each a line":   fill("", "- ", "a", 19_000),
		"of nested brackets":                 fill("", "[", "", dense),
		"of a mapping for each bracket":      fill("a: [", "[a: b],", "]", 1_000_000),
		"of a question mark for each letter": fill("a: [", "? a,", "]", 1_500_000),
	} {
		t.Run(sentence, func(t *testing.T) {
			_, endpoint := s3(t, map[string]string{"all.yaml": text})
			in := applymanifests.LoadManifests{Request: applymanifests.Request{Namespace: "default", Mode: applymanifests.ModePlan, Source: applymanifests.Source{Bucket: "b", Key: "all.yaml"}}}
			o := invoke(t, "load-manifests", in, endpoint)
			if o.failure.ErrorType != "" {
				ends(t, o, contract.InvalidInput, "The manifests h")
			}
		})
	}
}
