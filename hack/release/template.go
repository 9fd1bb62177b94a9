package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/kubestep/kubestep/deploy"
)

// template writes the template of the release, the definitions that it names, and member.yml unchanged.
func (r release) template(context.Context) error {
	stack := deploy.Kubestep()
	template, err := stack.Template(r.version)
	if err != nil {
		return fmt.Errorf("render the template: %w", err)
	}
	for _, m := range stack.Machines() {
		definition, err := os.ReadFile(filepath.Join(r.root, "statemachine", m.Name+".asl.json"))
		if err != nil {
			return fmt.Errorf("read a definition: %w", err)
		}
		if err := r.write(deploy.Published(m.Name, ".asl.json", r.version), definition); err != nil {
			return err
		}
	}
	member, err := os.ReadFile(filepath.Join(r.root, "member.yml"))
	if err != nil {
		return fmt.Errorf("read the template of member accounts: %w", err)
	}
	return errors.Join(r.write("template.yml", []byte(template)), r.write("member.yml", member))
}
