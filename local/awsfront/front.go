// Package awsfront is the AWS endpoint of the local world. It serves Lambda, EKS, STS, CloudFormation and CloudWatch Logs as far as
// kubestep, its scripts and its documentation call them, and forwards all other requests to moto.
//
// It listens on loopback and verifies the signatures of requests that run programs. For other requests it only recognizes whose
// credentials they claim: the control plane verifies identities.
//
// It stays because moto's Lambda needs Docker, its EKS describes no cluster that answers, its STS issues credentials that nothing
// verifies, and its CloudFormation cannot transform a SAM template or create functions on this Lambda.
package awsfront

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	smithyrand "github.com/aws/smithy-go/rand"

	"github.com/kubestep/kubestep/local/credentials"
	"github.com/kubestep/kubestep/local/lambdahost"
	"github.com/kubestep/kubestep/local/trail"
)

// Functions runs Lambda functions.
type Functions interface {
	// Invoke fails with lambdahost.ErrNotFound if there is no such function.
	Invoke(ctx context.Context, name string, payload []byte) (lambdahost.Result, error)
}

// Authority issues credentials and recognizes its own.
type Authority interface {
	Issue(roleARN, session string, expires time.Time, tags ...string) (aws.Credentials, error)
	Recognize(accessKeyID, sessionToken string, now time.Time) (credentials.Identity, string, error)
	Verify(r *http.Request, body []byte, now time.Time) (credentials.Identity, credentials.Signature, error)
}

// Options configures a Front. All fields but Permissions, Rules, Record and Now are required.
type Options struct {
	Functions Functions
	Clusters  *Clusters
	Roles     *Roles
	Authority Authority
	Faults    *Faults
	// Permissions says what the roles may do; nil allows everything.
	Permissions *Permissions
	// Rules are what happens once an execution is stopped; nil is nothing.
	Rules *Rules
	// Deploy deploys the stacks of CloudFormation.
	Deploy Deploy
	// Logs is the folder of the functions' logs.
	Logs string
	// Engine is the URL of moto.
	Engine *url.URL
	// Record is called with each call that a role makes; nil records none.
	Record func(trail.Call)
	// Now returns the time; nil is time.Now.
	Now func() time.Time
}

// Front is the endpoint. Use New.
type Front struct {
	Options
	engine         http.Handler
	cloudFormation cloudFormation
}

// New makes the endpoint.
func New(options Options) *Front {
	if options.Now == nil {
		options.Now = time.Now
	}
	f := &Front{
		Options:        options,
		cloudFormation: cloudFormation{stacks: map[string]cloudFormationStack{}, changes: map[string]changeSet{}},
	}
	f.engine = engine(options.Engine, f.denyMissing)
	return f
}

// engine forwards requests unchanged, with their Host and signature. The answers are changed by change.
func engine(address *url.URL, change func(*http.Response) error) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(address)
			r.Out.Host = r.In.Host
		},
		ModifyResponse: change,
		// If the engine has closed an idle connection, a POST on it fails and cannot be retried.
		Transport: &http.Transport{DisableKeepAlives: true},
		ErrorLog:  log.New(io.Discard, "", 0),
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			c, _ := identify(r)
			fail(w, c, apiError{http.StatusBadGateway, "ServiceUnavailableException", "the Step Functions engine does not answer: " + err.Error()})
		},
	}
}

// handler serves one operation. If it returns an error, that is the response.
type handler func(http.ResponseWriter, *http.Request, call) *apiError

func (f *Front) handler(c call) handler {
	switch c.service + ":" + c.operation {
	case "lambda:Invoke":
		return f.invoke
	case "eks:DescribeCluster":
		return f.describeCluster
	case "eks:CreateAccessEntry":
		return f.createAccessEntry
	case "eks:ListClusters":
		return f.listClusters
	case "sts:AssumeRole":
		return f.assumeRole
	case "sts:GetCallerIdentity":
		return f.getCallerIdentity
	case "states:StartExecution":
		return f.startExecution
	case "states:StopExecution":
		return f.stopExecution
	case "states:ListExecutions":
		return f.listExecutions
	case "logs:FilterLogEvents":
		return f.filterLogEvents
	case "cloudformation:CreateChangeSet":
		return f.createChangeSet
	case "cloudformation:DescribeChangeSet":
		return f.describeChangeSet
	case "cloudformation:ExecuteChangeSet":
		return f.executeChangeSet
	case "cloudformation:GetTemplateSummary":
		return f.templateSummary
	case "cloudformation:DescribeStacks":
		return f.describeStacks
	case "cloudformation:DeleteStack":
		return f.deleteStack
	}
	return func(w http.ResponseWriter, r *http.Request, _ call) *apiError {
		if c.service == "lambda" || c.service == "cloudformation" { // moto's know nothing of the functions and stacks here
			return &apiError{http.StatusNotImplemented, "NotImplementedException", fmt.Sprintf("the local %s has no operation for %s %s%s", c.service, r.Method, r.URL.Path, c.operation)}
		}
		f.engine.ServeHTTP(w, r)
		return nil
	}
}

func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, err := identify(r)
	if err != nil {
		fail(w, c, apiError{http.StatusBadRequest, "SerializationException", err.Error()})
		return
	}
	if refused := f.admit(r, c); refused != nil {
		fail(w, c, *refused)
		return
	}
	w, done := f.recorded(w, r, c)
	defer done()
	if fault, ok := f.Faults.take(c); ok {
		select {
		case <-time.After(fault.Delay):
		case <-r.Context().Done():
			return
		}
		if fault.Status != 0 {
			fail(w, c, apiError{fault.Status, fault.Code, fault.Message})
			return
		}
	}
	if err := f.handler(c)(w, r, c); err != nil {
		fail(w, c, *err)
	}
}

// caller returns whose credentials the request was made with.
func (f *Front) caller(c call) (credentials.Identity, error) {
	identity, _, err := f.Authority.Recognize(c.accessKeyID, c.sessionToken, f.Now())
	return identity, err
}

// unrecognized returns the error for credentials that are refused. Services differ in its code.
func unrecognized(err error, expired, unknown string) *apiError {
	if errors.Is(err, credentials.ErrExpired) {
		return &apiError{http.StatusForbidden, expired, "The security token included in the request is expired"}
	}
	return &apiError{http.StatusForbidden, unknown, "The security token included in the request is invalid."}
}

// apiError is an error response of AWS.
type apiError struct {
	status  int
	code    string
	message string
}

// fail writes an error in the protocol of the service that was called.
func fail(w http.ResponseWriter, c call, e apiError) {
	id := uuid()
	w.Header().Set("X-Amzn-Requestid", id)
	kind := "Sender"
	if e.status >= http.StatusInternalServerError {
		kind = "Receiver"
	}
	switch c.protocol {
	case query:
		type xmlError struct {
			Type, Code, Message string
		}
		writeXML(w, e.status, struct {
			XMLName   xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ ErrorResponse"`
			Error     xmlError
			RequestID string `xml:"RequestId"`
		}{Error: xmlError{kind, e.code, e.message}, RequestID: id})
	case rpcJSON:
		writeJSON(w, e.status, map[string]string{"__type": e.code, "message": e.message})
	default:
		w.Header().Set("X-Amzn-Errortype", e.code)
		writeJSON(w, e.status, map[string]string{"message": e.message})
	}
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	if w.Header().Get("X-Amzn-Requestid") == "" {
		w.Header().Set("X-Amzn-Requestid", uuid())
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client is gone
}

func writeXML(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	_ = xml.NewEncoder(w).Encode(body) // the client is gone
}

// respond writes a result in the query protocol: https://smithy.io/2.0/aws/protocols/aws-query-protocol.html#response-serialization
func respond(w http.ResponseWriter, c call, result any) {
	type metadata struct {
		RequestID string `xml:"RequestId"`
	}
	writeXML(w, http.StatusOK, struct {
		XMLName  xml.Name
		Result   named
		Metadata metadata `xml:"ResponseMetadata"`
	}{xml.Name{Local: c.operation + "Response"}, named{c.operation + "Result", result}, metadata{uuid()}})
}

// named is a value that is written as an element of that name.
type named struct {
	name  string
	value any
}

// MarshalXML implements xml.Marshaler.
func (n named) MarshalXML(e *xml.Encoder, _ xml.StartElement) error {
	return e.EncodeElement(n.value, xml.StartElement{Name: xml.Name{Local: n.name}}) //nolint:wrapcheck // of the encoder, for the encoder
}

func uuid() string {
	id, _ := smithyrand.NewUUID(rand.Reader).GetUUID() // crypto/rand never fails
	return id
}
