package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kubestep/kubestep/docs"
	"github.com/kubestep/kubestep/internal/follow/terminal"
	"github.com/kubestep/kubestep/internal/input"
)

// exitStatuses are what the command ends with.
const exitStatuses = `Exit status:
  0    it succeeded
  1    the execution failed, or kubestep lost track of it; or what was to be
       stopped or approved has ended already
  2    nothing was started or changed: the command line or the environment is
       wrong, or AWS refuses, or does not answer
  3    the plan found drift, or something to delete, with kubestep apply or
       delete --plan --detailed-exitcode
  *    with kubestep job run, a Job that failed: the exit code of its container
  130  kubestep was interrupted; an execution that has started continues
`

// environmentPage are the variables that the command reads.
const environmentPage = `Environment:
  AWS_PROFILE, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN
       the credentials, as the aws command reads them, and ~/.aws
  AWS_REGION
       the Region of the stack; a region of the profile does the same
  AWS_ENDPOINT_URL
       an endpoint to use instead of AWS, such as the local world's
  KUBESTEP_STACK
       the name of the stack (kubestep if not set); --stack goes before it
  POD_INVENTORY_ARN, APPLY_MANIFESTS_ARN, RUN_JOB_ARN, FLEET_ARN
       the state machines to use instead of the stack's, unless --stack or
       --state-machine-arn is set
  KUBECONFIG
       where the contexts are that the commands in a cause name
  NO_COLOR
       turns colors off, unless it is empty
  TERM
       if it is dumb, there are no colors, and no line is drawn again
`

// topic is a page of help that is about no verb.
func topic(name, short, long, example string, text func(args []string) (string, error)) *cobra.Command {
	cmd := &cobra.Command{
		Use: name, Short: short, Long: long, Example: example, Hidden: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			page, err := text(args)
			if err == nil {
				_, err = io.WriteString(cmd.OutOrStdout(), page)
			}
			return err
		},
	}
	// What help prints of it is the page.
	cmd.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		page, err := text(slices.DeleteFunc(slices.Clone(args), func(arg string) bool { return strings.HasPrefix(arg, "-") }))
		if err == nil {
			_, _ = io.WriteString(cmd.OutOrStdout(), page)
		}
	})
	return cmd
}

func topics() []*cobra.Command {
	exits := topic("exit-codes", "The exit statuses", "", "", func([]string) (string, error) { return exitStatuses, nil })
	variables := topic("environment", "The variables that are read", "", "", func([]string) (string, error) { return environmentPage, nil })
	all := topic("errors", "The errors that an execution ends with", "", "", errorPage)
	all.ValidArgsFunction = completeName(func(context.Context, *cobra.Command) []string {
		var names []string
		for _, section := range errorSections() {
			names = append(names, section.name)
		}
		return names
	})
	return []*cobra.Command{exits, variables, all}
}

// errorSection is what the documentation says of an error.
type errorSection struct {
	name string
	// text is that without the heading, and when its first sentence.
	text, when string
}

// columns is how wide help is.
const columns = 80

// page is the section with paragraphs that fit.
func (s errorSection) page() string { return s.name + "\n\n" + reflowed(s.text) + "\n" }

// reflowed is a text whose paragraphs fit. What is set apart stays as it is.
func reflowed(text string) string {
	var b, paragraph strings.Builder
	flush := func() {
		if paragraph.Len() > 0 {
			b.WriteString(wrapped(paragraph.String(), "", columns) + "\n")
			paragraph.Reset()
		}
	}
	for line := range strings.SplitSeq(text, "\n") {
		if line != "" && !strings.ContainsAny(line[:1], " |-<") {
			paragraph.WriteString(line + " ")
			continue
		}
		flush()
		b.WriteString(line + "\n")
	}
	flush()
	return strings.TrimSuffix(b.String(), "\n")
}

// reflow makes the long help of a command and of those below it fit.
func reflow(cmd *cobra.Command) {
	cmd.Long = reflowed(cmd.Long)
	for _, below := range cmd.Commands() {
		reflow(below)
	}
}

// firstError is the first section of the page that is about an error.
const firstError = "InvalidInput"

// errorSections are the sections of docs/errors.md, from the first error on.
func errorSections() []errorSection {
	_, text, _ := strings.Cut(docs.Errors, "\n## "+firstError+"\n")
	var all []errorSection
	for part := range strings.SplitSeq(firstError+"\n"+text, "\n## ") {
		name, text, _ := strings.Cut(part, "\n")
		text = plain(text)
		_, when, _ := strings.Cut(text, "When. ")
		when, _, _ = strings.Cut(strings.Join(strings.Fields(when), " "), ". ")
		all = append(all, errorSection{name, text, strings.TrimSuffix(when, ".")})
	}
	return all
}

var (
	markdownLink = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
	anchor       = regexp.MustCompile(`<a id="[^"]*"></a>`)
)

// plain is a text without the marks of Markdown that a terminal does not show.
func plain(text string) string {
	text = anchor.ReplaceAllString(markdownLink.ReplaceAllString(text, "$1"), "")
	return strings.Trim(strings.NewReplacer("**", "", "`", "").Replace(text), "\n")
}

// errorPage lists the errors, or prints what the documentation says of one.
func errorPage(args []string) (string, error) {
	sections := errorSections()
	var b bytes.Buffer
	if len(args) == 0 {
		b.WriteString("An execution that fails has one of these errors, and a cause, which says what\nwas refused and how to fix it. kubestep help errors NAME prints more.\n\n")
		for _, s := range sections {
			fmt.Fprintf(&b, "%s\n%s\n", s.name, wrapped(s.when, "    ", columns))
		}
		return b.String(), nil
	}
	for _, s := range sections {
		if strings.EqualFold(s.name, args[0]) {
			return s.page(), nil
		}
	}
	for _, line := range strings.Split(docs.Errors, "\n") { // several names may share a section
		if row := regexp.MustCompile("^\\| \\[`" + regexp.QuoteMeta(args[0]) + "`\\]\\(#([^)]*)\\)").FindStringSubmatch(line); row != nil {
			for _, s := range sections {
				if slug(s.name) == row[1] {
					return s.page(), nil
				}
			}
		}
	}
	meant := ""
	for _, s := range sections {
		if name := strings.ToLower(args[0]); strings.HasPrefix(strings.ToLower(s.name), name) || input.Alike(strings.ToLower(s.name), name) {
			meant = ". Did you mean " + s.name + "?"
			break
		}
	}
	return "", problems{fmt.Sprintf("there is no error %s: kubestep help errors lists all%s", terminal.Line(args[0]), meant)}
}

// slug is the anchor of a heading.
func slug(heading string) string {
	return strings.ToLower(strings.ReplaceAll(regexp.MustCompile(`[^\w -]`).ReplaceAllString(heading, ""), " ", "-"))
}

// wrapped breaks a text into lines of at most that many columns.
func wrapped(text, indent string, columns int) string {
	var lines []string
	line := indent
	for _, word := range strings.Fields(text) {
		if len(line) > len(indent) && len(line)+1+len(word) > columns {
			lines, line = append(lines, line), indent
		}
		if line != indent {
			line += " "
		}
		line += word
	}
	return strings.Join(append(lines, line), "\n")
}
