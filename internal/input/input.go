// Package input checks the execution input before anything is called, and
// completes it. Whatever is wrong is said at once, each problem with its field.
package input

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/kubestep/kubestep/internal/contract"
)

// maxSelector bounds a selector: it travels in the URL of every page.
const maxSelector = 4096

var (
	// https://docs.aws.amazon.com/eks/latest/APIReference/API_CreateCluster.html, name
	clusterName = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z_-]{0,99}$`)
	// eu-west-1, us-gov-east-1, us-isob-east-1, eusc-de-east-1: no list, so that a new Region needs no release.
	region = regexp.MustCompile(`^[a-z]{2,8}(-[a-z]{2,12}){1,3}-[0-9]{1,2}$`)
	// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html: a path may stand before the name.
	roleARN = regexp.MustCompile(`^arn:aws(-[a-z]+)*:iam::[0-9]{12}:role/([\x21-\x7E]{1,510}/)?[\w+=,.@-]{1,64}$`)
)

var (
	// https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
	bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	// The characters that need no care anywhere; template.yml takes the same.
	// https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
	keyPrefix = regexp.MustCompile(`^[0-9A-Za-z!_.()/=-]{0,512}$`)
)

// systemKeys begin the keys that Step Functions itself adds to an input, such as
// AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID.
const systemKeys = "AWS_STEP_FUNCTIONS_"

// Defaults are what a request holds where the input says nothing: the
// function's own Region and, where the stack sets one, a cluster.
func Defaults(region, clusterName string) contract.Request {
	return contract.Request{ClusterName: clusterName, Region: region, Namespaces: []string{"default"}, MaxItems: contract.DefaultMaxItems, OnDenied: contract.Fail}
}

// Problem is one thing that is wrong with the input.
type Problem struct {
	// Field is where, such as "namespaces[1]".
	Field string
	// Text says what it is and what was expected.
	Text string
}

func (p Problem) Error() string { return p.Field + ": " + p.Text }

// Parse reads an execution input. What it leaves out is taken from defaults.
// The error is a contract.InvalidInput that names every problem; each is a
// Problem to errors.As.
func Parse(raw json.RawMessage, defaults contract.Request) (contract.Request, error) {
	request := defaults
	// Decoding writes into the array that is there, which is not this request's.
	request.Namespaces = slices.Clone(defaults.Namespaces)
	var p problems

	keys := map[string]json.RawMessage{}
	if len(bytes.TrimSpace(raw)) > 0 {
		if err := json.Unmarshal(raw, &keys); err != nil || keys == nil {
			p.add("input", `expected a JSON object such as {"clusterName": "demo"}, not %s`, kind(raw))
			return contract.Request{}, p.err()
		}
	}
	known := []struct {
		key  string
		into any
		want string
	}{
		{"clusterName", &request.ClusterName, "a string"},
		{"region", &request.Region, "a string"},
		{"roleArn", &request.RoleARN, "a string"},
		{"namespaces", &request.Namespaces, "an array of strings"},
		{"labelSelector", &request.LabelSelector, "a string"},
		{"fieldSelector", &request.FieldSelector, "a string"},
		{"onDenied", &request.OnDenied, "a string"},
		{"maxItems", &request.MaxItems, "a whole number"},
		{"output", (*destination)(&request.Output), `an object such as {"bucket": "name", "prefix": "kubestep/"}`},
	}
	names := make([]string, 0, len(known))
	for _, k := range known {
		names = append(names, k.key)
		value, given := keys[k.key]
		if !given || string(value) == "null" {
			continue
		}
		if err := json.Unmarshal(value, k.into); err != nil {
			p.add(k.key, "expected %s, not %s", k.want, kind(value))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if !slices.Contains(names, key) && !strings.HasPrefix(key, systemKeys) {
			p.add(show(key), "unknown key%s", suggest(key, names))
		}
	}
	p.check(request)
	if err := p.err(); err != nil {
		return contract.Request{}, err
	}
	return request, nil
}

type problems []Problem

func (p *problems) add(field, format string, args ...any) {
	// One problem a field: a value of the wrong type is not also an empty one.
	if !slices.ContainsFunc(*p, func(q Problem) bool { return q.Field == field }) {
		*p = append(*p, Problem{field, fmt.Sprintf(format, args...)})
	}
}

func (p *problems) check(r contract.Request) {
	switch {
	case r.ClusterName == "":
		p.add("clusterName", "missing: expected the name of an EKS cluster, and the stack sets no default")
	case !clusterName.MatchString(r.ClusterName):
		p.add("clusterName", "%s is no name of an EKS cluster: expected 1 to 100 letters, digits, - and _, a letter or digit first", show(r.ClusterName))
	}
	if !region.MatchString(r.Region) {
		p.add("region", "%s is no AWS Region: expected one such as eu-west-1", show(r.Region))
	}
	if r.RoleARN != "" && !roleARN.MatchString(r.RoleARN) {
		p.add("roleArn", "%s is no ARN of an IAM role: expected one such as arn:aws:iam::111122223333:role/name", show(r.RoleARN))
	}
	p.checkNamespaces(r.Namespaces)
	if r.OnDenied != contract.Fail && r.OnDenied != contract.Skip {
		p.add("onDenied", "%s: expected %q or %q", show(string(r.OnDenied)), contract.Fail, contract.Skip)
	}
	if r.MaxItems < 0 || r.MaxItems > contract.MaxMaxItems {
		p.add("maxItems", "%d: expected 0 to %d", r.MaxItems, contract.MaxMaxItems)
	}
	p.checkOutput(r.Output)
	p.checkSelector("labelSelector", r.LabelSelector, func(s string) error { _, err := labels.Parse(s); return err })
	p.checkSelector("fieldSelector", r.FieldSelector, func(s string) error { _, err := fields.ParseSelector(s); return err })
}

func (p *problems) checkNamespaces(namespaces []string) {
	switch n := len(namespaces); {
	case n == 0:
		p.add("namespaces", "empty: expected at least one namespace")
	case n > contract.MaxNamespaces:
		p.add("namespaces", "%d of them: expected at most %d", n, contract.MaxNamespaces)
	}
	if slices.ContainsFunc(*p, func(q Problem) bool { return q.Field == "namespaces" }) {
		return
	}
	if slices.Contains(namespaces, contract.AllNamespaces) {
		if len(namespaces) > 1 {
			p.add("namespaces", "%q stands for all namespaces: expected no other beside it", contract.AllNamespaces)
		}
		return
	}
	first := map[string]int{}
	for i, namespace := range namespaces {
		field := fmt.Sprintf("namespaces[%d]", i)
		if wrong := validation.IsDNS1123Label(namespace); len(wrong) > 0 {
			p.add(field, "%s is no namespace: %s", show(namespace), strings.Join(wrong, "; "))
			continue
		}
		if earlier, again := first[namespace]; again {
			p.add(field, "%s stands at namespaces[%d] already", show(namespace), earlier)
			continue
		}
		first[namespace] = i
	}
}

func (p *problems) checkOutput(d contract.Destination) {
	switch {
	case d.Bucket == "" && d.Prefix != "":
		p.add("output.bucket", "missing: expected the name of an S3 bucket")
	case d.Bucket != "" && !bucketName.MatchString(d.Bucket):
		p.add("output.bucket", "%s is no name of an S3 bucket", show(d.Bucket))
	}
	if !keyPrefix.MatchString(d.Prefix) {
		p.add("output.prefix", "%s is no prefix of a key: expected at most 512 letters, digits and any of !_.()/=-", show(d.Prefix))
	}
}

// destination knows no other keys: a mistyped one would write elsewhere.
type destination contract.Destination

func (d *destination) UnmarshalJSON(text []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	return decoder.Decode((*contract.Destination)(d))
}

func (p *problems) checkSelector(field, selector string, parse func(string) error) {
	if len(selector) > maxSelector {
		p.add(field, "%d bytes: expected at most %d", len(selector), maxSelector)
		return
	}
	if err := parse(selector); err != nil {
		p.add(field, "%s is no selector such as app=web,tier!=db: %v", show(selector), err)
	}
}

// err is nil without problems.
func (p problems) err() error {
	if len(p) == 0 {
		return nil
	}
	all := make([]error, len(p))
	texts := make([]string, len(p))
	for i, problem := range p {
		all[i], texts[i] = problem, problem.Error()
	}
	count := "1 problem"
	if len(p) > 1 {
		count = fmt.Sprintf("%d problems", len(p))
	}
	return &contract.Error{
		Name:    contract.InvalidInput,
		Message: fmt.Sprintf("The execution input has %s. %s", count, strings.Join(texts, ". ")),
		Err:     errors.Join(all...),
	}
}

// show quotes what a person typed, with control characters escaped and its length bounded.
func show(s string) string {
	const most = 80
	if len(s) > most {
		return fmt.Sprintf("%q… (%d bytes)", strings.ToValidUTF8(s[:most], ""), len(s))
	}
	return fmt.Sprintf("%q", s)
}

// kind names the JSON type of a value.
func kind(raw json.RawMessage) string {
	raw = bytes.TrimSpace(raw)
	if !json.Valid(raw) {
		return "something that is not JSON"
	}
	switch raw[0] {
	case '{':
		return "an object"
	case '[':
		var elements []json.RawMessage
		if json.Unmarshal(raw, &elements) == nil {
			for i, element := range elements {
				if k := kind(element); k != "a string" {
					return fmt.Sprintf("an array with %s at [%d]", k, i)
				}
			}
		}
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	default:
		return "a number"
	}
}

// suggest names the known key that a person most likely meant.
func suggest(key string, known []string) string {
	for _, k := range known {
		if strings.EqualFold(k, key) || distance(strings.ToLower(k), strings.ToLower(key)) <= 2 {
			return fmt.Sprintf(": expected %q?", k)
		}
	}
	return ": expected one of " + strings.Join(known, ", ")
}

// distance is Levenshtein's, for keys; anything long is far.
func distance(a, b string) int {
	const far = 64
	if len(a) > far || len(b) > far {
		return far
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substituted := diagonal
			if a[i] != b[j] {
				substituted++
			}
			diagonal = row[j+1]
			row[j+1] = min(substituted, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
