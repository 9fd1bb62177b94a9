// Package types is empty. It is here since the authenticator's tests import it, which makes `go mod tidy` look for it.
package types
