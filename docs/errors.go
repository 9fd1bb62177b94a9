// Package docs has the pages that the command prints, too.
package docs

import _ "embed" // the pages

// Errors is the page that says of each error what it means and how to fix it.
//
//go:embed errors.md
var Errors string
