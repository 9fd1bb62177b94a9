package awsfront

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/kubestep/kubestep/internal/contract"
)

// protocol is how a service writes requests and errors: https://smithy.io/2.0/aws/protocols/index.html
type protocol int

const (
	restJSON protocol = iota // the operation is in method and path
	rpcJSON                  // the operation is in X-Amz-Target
	query                    // the operation is in the form field Action
)

// call is a call of an AWS API.
type call struct {
	protocol     protocol
	service      string // as it is signed for: lambda, eks, sts, states
	region       string
	accessKeyID  string
	sessionToken string
	operation    string // as the API names it; "" if it is not known here
	resource     string // the function's or cluster's name, the role's or state machine's ARN
	form         url.Values
}

// identify reads which call a request makes, and does not consume its body.
func identify(r *http.Request) (call, error) {
	parameters := r.URL.Query()
	c := call{form: parameters, sessionToken: r.Header.Get("X-Amz-Security-Token")}
	scope := parameters.Get("X-Amz-Credential")
	if c.sessionToken == "" {
		c.sessionToken = parameters.Get("X-Amz-Security-Token")
	}
	if _, credential, ok := strings.Cut(r.Header.Get("Authorization"), "Credential="); ok {
		scope, _, _ = strings.Cut(credential, ",")
	}
	// The scope is KEY/DATE/REGION/SERVICE/aws4_request.
	if parts := strings.Split(strings.TrimSpace(scope), "/"); len(parts) == 5 {
		c.accessKeyID, c.region, c.service = parts[0], parts[2], parts[3]
	}
	path := segments(r.URL)
	if c.service == "" {
		c.service = serviceByPath(path)
	}
	switch {
	case r.Header.Get("X-Amz-Target") != "":
		c.protocol = rpcJSON
		_, c.operation, _ = strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	case strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded"), parameters.Has("Action"):
		c.protocol = query
	default:
		c.protocol = restJSON
	}
	switch {
	case c.protocol == query:
		body, err := readBody(r)
		if err != nil {
			return c, err
		}
		fields, err := url.ParseQuery(string(body))
		if err != nil {
			return c, fmt.Errorf("the body is not a form: %w", err)
		}
		for name, values := range fields {
			c.form[name] = values
		}
		c.operation, c.resource = c.form.Get("Action"), c.form.Get("RoleArn")
	case c.service == "states" && c.operation == "StartExecution":
		body, err := readBody(r)
		if err != nil {
			return c, err
		}
		var input struct {
			StateMachineARN string `json:"stateMachineArn"`
		}
		_ = json.Unmarshal(body, &input) // moto reports what is wrong with it
		c.resource = contract.MachineARN(input.StateMachineARN).Unqualified()
	case c.service == "lambda":
		c.operation, c.resource = lambdaOperation(r.Method, path)
	case c.service == "eks":
		c.operation, c.resource = eksOperation(r.Method, path)
	}
	return c, nil
}

func serviceByPath(path []string) string {
	switch {
	case len(path) > 1 && path[0] == lambdaVersion && path[1] == "functions":
		return "lambda"
	case len(path) > 0 && path[0] == "clusters":
		return "eks"
	}
	return ""
}

// segments returns the parts of a path, each of which may contain an escaped slash or colon.
func segments(u *url.URL) []string {
	parts := strings.Split(strings.Trim(u.EscapedPath(), "/"), "/")
	for i, part := range parts {
		if plain, err := url.PathUnescape(part); err == nil {
			parts[i] = plain
		}
	}
	return parts
}

// readBody reads a body without consuming it.
func readBody(r *http.Request) ([]byte, error) {
	const most = maxRequest + 1<<20 // the largest is Lambda's; a state machine's definition is 1 MB at most
	body, err := io.ReadAll(io.LimitReader(r.Body, most))
	if err != nil {
		return nil, fmt.Errorf("read the request: %w", err)
	}
	if len(body) == most {
		return nil, fmt.Errorf("the request has more than %d bytes", most)
	}
	setBody(r, body)
	return body, nil
}

func setBody(r *http.Request, body []byte) {
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.ContentLength = int64(len(body))
}
