package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

// parameters are the additional parameters of a release's template.
// The default of CodePrefix ends with the version.
const parameters = `
CodeBucket:
  Type: String
  AllowedPattern: "^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$"
  Description: The S3 bucket, in the Region of the stack, that holds the files of the release.
CodePrefix:
  Type: String
  Default: kubestep/%s/
  AllowedPattern: "^[0-9A-Za-z!_.()/=-]{0,512}$"
  Description: What the keys of those files begin with.
`

// template writes template.yml so that it finds its code and definitions in a bucket. It also writes the definitions, and
// member.yml unchanged. Names contain the version, because CloudFormation takes the same key for the same code.
func (r release) template(context.Context) error {
	text, err := os.ReadFile(filepath.Join(r.root, "template.yml"))
	if err != nil {
		return fmt.Errorf("read the template: %w", err)
	}
	template, definitions, err := packaged(text, r.version)
	if err != nil {
		return fmt.Errorf("template.yml: %w", err)
	}
	for _, definition := range definitions {
		content, err := os.ReadFile(filepath.Join(r.root, definition)) //nolint:gosec // template.yml names it
		if err != nil {
			return fmt.Errorf("read a definition: %w", err)
		}
		if err := r.write(published(definition, r.version), content); err != nil {
			return err
		}
	}
	member, err := os.ReadFile(filepath.Join(r.root, "member.yml"))
	if err != nil {
		return fmt.Errorf("read the template of member accounts: %w", err)
	}
	return errors.Join(r.write("template.yml", template), r.write("member.yml", member))
}

// published returns the name in a release of a file or folder that template.yml names.
func published(path, version string) string {
	name, isDefinition := strings.CutSuffix(filepath.Base(path), ".asl.json")
	if isDefinition {
		return name + "-" + version + ".asl.json"
	}
	return name + "-" + version + ".zip"
}

// packaged returns the template of a release and the definitions that it names.
func packaged(text []byte, version string) (template []byte, definitions []string, err error) {
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, nil, fmt.Errorf("is not valid YAML: %w", err)
	}
	expand(&document)
	top := document.Content[0]
	resources, declared := value(top, "Resources"), value(top, "Parameters")
	if resources == nil || declared == nil {
		return nil, nil, errors.New("has no Resources or no Parameters")
	}
	var added yaml.Node
	must(yaml.Unmarshal(fmt.Appendf(nil, parameters, version), &added))
	declared.Content = append(added.Content[0].Content, declared.Content...)

	for i := 1; i < len(resources.Content); i += 2 {
		properties := value(resources.Content[i], "Properties")
		for _, name := range []string{"CodeUri", "DefinitionUri"} {
			local := value(properties, name)
			if local == nil {
				continue
			}
			if name == "DefinitionUri" {
				definitions = append(definitions, local.Value)
			}
			var location yaml.Node
			must(yaml.Unmarshal(fmt.Appendf(nil, "Bucket: !Ref CodeBucket\nKey: !Sub \"${CodePrefix}%s\"\n", published(local.Value, version)), &location))
			*local = *location.Content[0]
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "# kubestep %s. docs/deploy.md says how to deploy it.\n", version)
	encoder := yaml.NewEncoder(&b)
	encoder.SetIndent(2)
	must(encoder.Encode(&document))
	return b.Bytes(), definitions, nil
}

// expand replaces an alias by its value: CloudFormation does not support
// aliases (https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/template-formats.html),
// and the aws command expands them only when it packages.
func expand(node *yaml.Node) {
	if node.Kind == yaml.AliasNode {
		*node = *clone(node.Alias)
	}
	node.Anchor = ""
	for _, child := range node.Content {
		expand(child)
	}
}

func clone(node *yaml.Node) *yaml.Node {
	copied := *node
	copied.Content = make([]*yaml.Node, len(node.Content))
	for i, child := range node.Content {
		copied.Content[i] = clone(child)
	}
	return &copied
}

// value returns the value of a key, or nil.
func value(mapping *yaml.Node, key string) *yaml.Node {
	if mapping == nil || mapping.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return mapping.Content[i+1]
		}
	}
	return nil
}
