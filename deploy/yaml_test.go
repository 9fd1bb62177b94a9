package deploy_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

const repository = ".."

// read returns a file of the repository.
func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, path))
	require.NoError(t, err)
	return string(text)
}

// template is the parts of a template that the tests read. !Ref Key is {"!Ref": "Key"}.
type template struct {
	Parameters map[string]struct {
		Type          string
		Default       any
		AllowedValues []any
	}
	Conditions map[string]any
	Globals    struct{ Function map[string]any }
	Resources  map[string]struct {
		Type, Condition string
		Properties      map[string]any
	}
	Outputs map[string]struct {
		Condition string
		Value     any
	}
}

func parse(t *testing.T, text string) template {
	t.Helper()
	var document yaml.Node
	require.NoError(t, yaml.Unmarshal([]byte(text), &document))
	var parsed template
	encoded, err := json.Marshal(plain(t, document.Content[0]))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(encoded, &parsed))
	return parsed
}

// plain returns a node with its aliases expanded and its tags as keys.
func plain(t *testing.T, node *yaml.Node) any {
	t.Helper()
	var value any
	switch node.Kind {
	case yaml.AliasNode:
		return plain(t, node.Alias)
	case yaml.MappingNode:
		all := map[string]any{}
		for i := 0; i < len(node.Content); i += 2 {
			if _, twice := all[node.Content[i].Value]; twice { // a message with all of it would hide which
				require.Failf(t, "a key is there twice", "line %d: %s", node.Content[i].Line, node.Content[i].Value)
			}
			all[node.Content[i].Value] = plain(t, node.Content[i+1])
		}
		value = all
	case yaml.SequenceNode:
		all := []any{}
		for _, element := range node.Content {
			all = append(all, plain(t, element))
		}
		value = all
	default:
		scalar := *node
		if len(node.Tag) > 1 && node.Tag[1] != '!' {
			scalar.Tag = "!!str"
		}
		require.NoError(t, scalar.Decode(&value))
	}
	if len(node.Tag) > 1 && node.Tag[1] != '!' {
		return map[string]any{node.Tag: value}
	}
	return value
}
