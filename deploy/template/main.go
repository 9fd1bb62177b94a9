// Command template writes template.yml and the tables of docs/security.md, from the Go values in deploy.
//
//	go run ./deploy/template
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/kubestep/kubestep/deploy"
)

func main() {
	if err := write("template.yml", filepath.Join("docs", "security.md")); err != nil {
		fmt.Fprintln(os.Stderr, "template:", err)
		os.Exit(1)
	}
}

func write(template, security string) error {
	text, err := deploy.Kubestep().Template("")
	if err != nil {
		return err
	}
	page, err := os.ReadFile(security) //nolint:gosec // a constant
	if err != nil {
		return fmt.Errorf("read the page: %w", err)
	}
	tables, err := deploy.Kubestep().SecurityPage(string(page))
	if err != nil {
		return err
	}
	//nolint:gosec // anybody may read them
	if err := errors.Join(os.WriteFile(template, []byte(text), 0o644), os.WriteFile(security, []byte(tables), 0o644)); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}
