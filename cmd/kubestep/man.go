package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// manVerb prints the manual page, which is what help says: a release has it.
func manVerb() *cobra.Command {
	return &cobra.Command{
		Use: "man", Hidden: true, Args: cobra.NoArgs, Short: "Print the manual page, as man reads it",
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := io.WriteString(cmd.OutOrStdout(), manual(cmd.Root()))
			return err //nolint:wrapcheck // it only writes
		},
	}
}

// manual is a page of section 1, in the macros of man(7). Texts are broken into lines already.
func manual(root *cobra.Command) string {
	var b strings.Builder
	section := func(macro, title, text string) {
		fmt.Fprintf(&b, ".%s \"%s\"\n.nf\n%s.fi\n", macro, roff(title), roff(strings.Trim(text, "\n")+"\n"))
	}
	b.WriteString(".TH KUBESTEP 1 \"\" kubestep \"User Commands\"\n.SH NAME\nkubestep \\- " + roff(root.Short) + "\n")
	b.WriteString(".SH SYNOPSIS\n.B kubestep\nCOMMAND [FLAGS]\n")
	section("SH", "DESCRIPTION", strings.Replace(root.Long, exitStatuses+"\n", "", 1)) // which has a section
	section("SH", "EXAMPLES", root.Example)
	b.WriteString(".SH COMMANDS\n")
	manualOf(root, section)
	section("SH", "ENVIRONMENT", environmentPage)
	section("SH", "EXIT STATUS", exitStatuses)
	errors, _ := errorPage(nil) // it lists all
	section("SH", "ERRORS", errors)
	return b.String()
}

// manualOf has a section for each verb below a command.
func manualOf(cmd *cobra.Command, section func(macro, title, text string)) {
	for _, verb := range cmd.Commands() {
		if verb.Hidden || verb.Name() == "help" || verb.Name() == "completion" {
			continue
		}
		if verb.Runnable() {
			text := verb.Long + "\n\n" + verb.LocalFlags().FlagUsagesWrapped(columns-7)
			if verb.Example != "" {
				text += "\n" + verb.Example
			}
			section("SS", verb.CommandPath()+strings.TrimPrefix(verb.Use, verb.Name()), text)
		}
		manualOf(verb, section)
	}
}

// roff is a text without what the formatter would obey.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, `"`, `\(dq`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}
