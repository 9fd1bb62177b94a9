// Package awsfront is the one AWS endpoint of the local world: Lambda from a host of functions, EKS from a registry of clusters, STS from an
// authority for credentials, CloudFormation from what deploys stacks. What is asked of other services goes on to the engine that runs state machines.
//
// It listens on loopback and verifies the signatures of what makes it run programs. For the rest it only recognises whose credentials a
// request claims: the control plane, where identity matters, verifies.
//
// It stays because moto's Lambda needs Docker, its EKS describes no cluster that answers, and its STS issues credentials that nothing verifies.
package awsfront

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"encoding/xml"
	"errors"
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

// Functions are the Lambda functions that there are.
type Functions interface {
	Functions() []lambdahost.Function
	Invoke(ctx context.Context, name string, payload []byte) (lambdahost.Result, error)
}

// Authority issues credentials and recognises its own.
type Authority interface {
	Issue(roleARN, session string, expires time.Time, tags ...string) (aws.Credentials, error)
	Recognise(accessKeyID, sessionToken string, now time.Time) (credentials.Identity, string, error)
	Verify(r *http.Request, body []byte, now time.Time) (credentials.Identity, credentials.Signature, error)
}

// Options are what the services answer from. All but Now are needed.
type Options struct {
	Functions Functions
	Clusters  *Clusters
	Roles     *Roles
	Authority Authority
	Faults    *Faults
	// Stacks is what CloudFormation deploys.
	Stacks Stacks
	// Logs is the folder of the functions' logs.
	Logs string
	// Engine is where requests to all other services go.
	Engine *url.URL
	// Record is told each call that a role makes; nil records none.
	Record func(trail.Call)
	// Now tells the time; time.Now when nil.
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
	return &Front{
		Options: options, engine: engine(options.Engine),
		cloudFormation: cloudFormation{stacks: map[string]cloudFormationStack{}, changes: map[string]changeSet{}},
	}
}

// engine passes requests on as they are, Host and signature included.
func engine(address *url.URL) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(address)
			r.Out.Host = r.In.Host
		},
		// A kept connection that the engine has closed in the meantime fails a POST, which cannot be tried again.
		Transport: &http.Transport{DisableKeepAlives: true},
		ErrorLog:  log.New(io.Discard, "", 0),
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			c, _ := identify(r)
			fail(w, c, apiError{http.StatusBadGateway, "ServiceUnavailableException", "the Step Functions engine does not answer: " + err.Error()})
		},
	}
}

// handler serves one operation. What it returns is the answer when it is not nil.
type handler func(http.ResponseWriter, *http.Request, call) *apiError

func (f *Front) handler(c call) handler {
	if c.service == "cloudformation" {
		return f.cloudFormationHandler(c.operation)
	}
	switch c.service + ":" + c.operation {
	case "lambda:Invoke":
		return f.invoke
	case "lambda:ListFunctions":
		return f.listFunctions
	case "lambda:GetFunction":
		return f.getFunction
	case "lambda:GetFunctionConfiguration":
		return f.getFunctionConfiguration
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
	case "logs:FilterLogEvents":
		return f.filterLogEvents
	}
	return func(w http.ResponseWriter, r *http.Request, _ call) *apiError {
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

// caller tells whose credentials the request was made with.
func (f *Front) caller(c call) (credentials.Identity, error) {
	identity, _, err := f.Authority.Recognise(c.accessKeyID, c.sessionToken, f.Now())
	return identity, err
}

// unrecognised words why credentials are refused. The codes are not the same in all services.
func unrecognised(err error, expired, unknown string) *apiError {
	if errors.Is(err, credentials.ErrExpired) {
		return &apiError{http.StatusForbidden, expired, "The security token included in the request is expired"}
	}
	return &apiError{http.StatusForbidden, unknown, "The security token included in the request is invalid."}
}

// apiError is an error as AWS answers it.
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

func uuid() string {
	id, _ := smithyrand.NewUUID(rand.Reader).GetUUID() // crypto/rand never fails
	return id
}
