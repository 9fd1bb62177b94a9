package deploy

import (
	"embed"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
)

//go:embed *.yml.tmpl
var skeletons embed.FS

// Template returns template.yml. The version of a release returns the template of that release: its code and definitions are in
// the parameter CodeBucket, and it has no YAML aliases, which CloudFormation does not support:
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/template-formats.html
func (s Stack) Template(version string) (string, error) {
	// The first rendering finds what the template has more than once, the second one gives anchors to it.
	first := renderer{stack: s, version: version, texts: map[string]string{}}
	if _, err := first.render(); err != nil {
		return "", err
	}
	return (&renderer{stack: s, version: version, repeats: first.uses}).render()
}

// Published is the name in a release of a definition or of a function's code.
func Published(name, extension, version string) string {
	return name + "-" + version + extension
}

// renderer renders the template once.
type renderer struct {
	stack   Stack
	version string
	// repeats says how often the template has what an anchor stands for, and uses how often it has had it so far.
	repeats, uses map[string]int
	// texts is what each anchor stands for, in a rendering without anchors.
	texts    map[string]string
	skeleton *template.Template
}

func (r *renderer) render() (string, error) {
	r.uses = map[string]int{}
	var err error
	r.skeleton, err = template.New("").Delims("<<", ">>").Option("missingkey=error").Funcs(template.FuncMap{
		"comment": comment, "flow": flow, "indent": indent, "items": items, "join": strings.Join,
		"nested": nested, "prose": prose, "item": item,
		"alarmTopic": alarmTopic, "boundary": boundary, "encryptionKey": encryptionKey, "randomKey": randomKey, "vpc": vpc,
		"code": r.code, "include": r.execute, "once": r.once, "policies": r.policies, "statement": r.statement, "tests": r.tests, "trust": r.trust,
		"value": r.value, "values": r.values,
	}).ParseFS(skeletons, "*.yml.tmpl")
	if err != nil {
		return "", fmt.Errorf("read the skeleton of the template: %w", err)
	}
	return r.execute("template.yml.tmpl", map[string]any{
		"Version": r.version, "Groups": r.groups(), "Conditions": r.stack.conditions(), "KeyPolicy": r.stack.keyPolicy(), "Describe": r.stack.describeCluster(),
		"Stack": r.stack, "Dashboard": r.stack.dashboard(),
	})
}

func (r *renderer) execute(name string, data any) (string, error) {
	var b strings.Builder
	if err := r.skeleton.ExecuteTemplate(&b, name, data); err != nil {
		return "", fmt.Errorf("render the template: %w", err)
	}
	return b.String(), nil
}

// groups returns the parameters, of which a release has two more.
func (r *renderer) groups() []Group {
	if r.version == "" {
		return r.stack.groups()
	}
	return append([]Group{{"The release", []Parameter{
		{
			Name: "CodeBucket", Label: "S3 bucket of the release", Required: true, Pattern: Pattern{Regexp: `^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`},
			Description: "The S3 bucket, in the Region of the stack, that holds the files of the release.",
		},
		{
			Name: "CodePrefix", Label: "Their key prefix", Default: "kubestep/" + r.version + "/", Pattern: keyPrefix(),
			Description: "What the keys of those files begin with.",
		},
	}}}, r.stack.groups()...)
}

// code is where the code of a function or the definition of a machine is. Names contain the version, because CloudFormation
// takes the same key for the same code.
func (r *renderer) code(path string) string {
	if r.version == "" {
		return " " + path
	}
	name, isDefinition := strings.CutSuffix(filepath.Base(path), ".asl.json")
	extension := ".zip"
	if isDefinition {
		extension = ".asl.json"
	}
	return nested(8, "Bucket: !Ref CodeBucket\nKey: "+sub("${CodePrefix}"+Published(name, extension, r.version)).yaml)
}

// shared gives an anchor to a value that the template repeats, and an alias to its repetitions.
func (r *renderer) shared(anchor, text string) string {
	if anchor == "" {
		return text
	}
	r.uses[anchor]++
	switch {
	case r.texts != nil:
		if other, used := r.texts[anchor]; used && other != text {
			panic("deploy: the anchor " + anchor + " stands for two things")
		}
		r.texts[anchor] = text
		return text
	case r.version != "":
		return text
	case r.uses[anchor] > 1:
		return "*" + anchor
	case r.repeats[anchor] < 2: // the only one
		return text
	case strings.HasPrefix(text, "!") || !strings.Contains(text, "\n"):
		return "&" + anchor + " " + text
	default:
		return "&" + anchor + "\n" + text
	}
}

// once returns a comment the first time, before a line with that indentation.
func (r *renderer) once(n int, text string) string {
	r.uses["# "+text]++
	if r.uses["# "+text] > 1 {
		return ""
	}
	return "\n" + indent(n, comment(text))
}

func (r *renderer) value(v Value) string { return r.shared(v.anchor, v.yaml) }

// values returns one value, or a list.
func (r *renderer) values(all []Value) string {
	var texts []string
	for _, v := range all {
		texts = append(texts, r.value(v))
	}
	return oneOrMore(texts)
}

func (r *renderer) statement(s Statement) (string, error) {
	text, err := r.execute("statement", s)
	return strings.TrimSpace(text), err
}

// document returns a policy document.
func (r *renderer) document(statements ...Statement) (string, error) {
	text := "Version: \"2012-10-17\"\nStatement:"
	for _, s := range statements {
		one, err := r.statement(s)
		if err != nil {
			return "", err
		}
		text += "\n" + indent(2, item(one))
	}
	return text, nil
}

func (r *renderer) trust(s Statement) (string, error) {
	text, err := r.document(s)
	return r.shared(s.anchor, text), err
}

// tests returns the conditions of a statement.
func (r *renderer) tests(where []Test) string {
	text, operator := "", ""
	for _, t := range where {
		if t.When != "" {
			only := "!If [" + t.When + ", { " + t.Operator + ": { " + t.Key + ": " + r.values(t.Is) + " } }, " + nothing().yaml + "]"
			return r.shared("if"+t.When, only)
		}
		if t.Operator != operator {
			operator = t.Operator
			text += operator + ":\n"
		}
		if t.Why != "" {
			text += indent(2, comment(t.Why)) + "\n"
		}
		text += "  " + t.Key + ":" + nested(4, r.values(t.Is)) + "\n"
	}
	return strings.TrimSuffix(text, "\n")
}

// policies returns a list of policies, each of which has an anchor.
func (r *renderer) policies(n int, all []Policy) (string, error) {
	if r.texts == nil && r.version == "" && !slices.ContainsFunc(all, func(p Policy) bool { return r.uses[p.anchor()] == 0 }) {
		var aliases []string
		for _, p := range all {
			aliases = append(aliases, r.shared(p.anchor(), ""))
		}
		return " [" + strings.Join(aliases, ", ") + "]", nil
	}
	var b strings.Builder
	for _, p := range all {
		text, err := r.document(p.Statements...)
		if err != nil {
			return "", err
		}
		text = "PolicyName: " + p.Name + "\nPolicyDocument:" + nested(2, text)
		if p.When != "" {
			text = "!If\n- " + p.When + "\n" + item(text) + "\n- " + nothing().yaml
		}
		text = item(r.shared(p.anchor(), text))
		if p.Why != "" && !strings.HasPrefix(text, "- *") {
			text = comment(p.Why) + "\n" + text
		}
		b.WriteString("\n" + indent(n, text))
	}
	return b.String(), nil
}

// anchor returns the YAML anchor of a policy.
func (p Policy) anchor() string { return lower(camel(p.key())) }

// widest is how long a line may be.
const widest = 120

// oneOrMore returns one value, or a list: on one line if there is room.
func oneOrMore(all []string) string {
	if len(all) == 1 {
		return all[0]
	}
	if line := "[" + strings.Join(all, ", ") + "]"; len(line) < widest-30 {
		return line
	}
	return "- " + strings.Join(all, "\n- ")
}

// items returns names as oneOrMore does.
func items(all []string) string {
	quoted := make([]string, len(all))
	for i, s := range all {
		quoted[i] = quote(s)
	}
	return oneOrMore(quoted)
}

// item returns a text as an element of a list.
func item(text string) string { return "- " + strings.TrimPrefix(indent(2, text), "  ") }

// nested returns a value after its key: on the same line, or indented below it.
func nested(n int, text string) string {
	first, rest, more := strings.Cut(text, "\n")
	switch {
	case !more:
		return " " + text
	case strings.ContainsAny(first[:1], "&!"):
		return " " + first + "\n" + indent(n, rest)
	default:
		return "\n" + indent(n, text)
	}
}

func indent(n int, text string) string {
	pad := strings.Repeat(" ", n)
	return pad + strings.ReplaceAll(text, "\n", "\n"+pad)
}

func comment(text string) string { return "# " + strings.ReplaceAll(text, "\n", "\n# ") }

// prose returns a sentence as YAML writes it, after a key with that indentation.
func prose(n int, text string) string {
	if n+len("Description: ")+len(text) <= widest && !strings.Contains(text, ": ") && !strings.HasPrefix(text, `"`) {
		return " " + text
	}
	folded, line := " >-", strings.Repeat(" ", n+1)
	for word := range strings.FieldsSeq(text) {
		if len(line)+1+len(word) > widest {
			folded += "\n" + line
			line = strings.Repeat(" ", n+1)
		}
		line += " " + word
	}
	return folded + "\n" + line
}
