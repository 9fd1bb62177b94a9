package awsfront

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/arn"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/local/trail"
)

// RoleHeader is the header with the state machine's role in the requests of moto, which has no credentials of that role.
const RoleHeader = "X-Kubestep-Role"

// recorded returns a writer and a function that together record the call and the status of its response.
func (f *Front) recorded(w http.ResponseWriter, r *http.Request, c call) (http.ResponseWriter, func()) {
	if f.Record == nil {
		return w, func() {}
	}
	record, ok := f.recordOf(r, c)
	if !ok {
		return w, func() {}
	}
	answered := &statusWriter{ResponseWriter: w}
	return answered, func() {
		record.Status = answered.status
		f.Record(record)
	}
}

// recordOf returns a call as IAM sees it. It returns none for unknown callers, and for calls that need no permission.
func (f *Front) recordOf(r *http.Request, c call) (trail.Call, bool) {
	record := trail.Call{Principal: r.Header.Get(RoleHeader), Context: map[string]string{}}
	if record.Principal == "" {
		caller, err := f.caller(c)
		if err != nil {
			return record, false
		}
		record.Principal = caller.RoleARN
	}
	principal, err := arn.Parse(record.Principal)
	if err != nil || c.service+":"+c.operation == "sts:GetCallerIdentity" {
		return record, false
	}
	// of returns the ARN of a resource in the caller's account and the Region of the call.
	of := func(resource string) string {
		return arn.ARN{Partition: principal.Partition, Service: c.service, Region: c.region, AccountID: principal.AccountID, Resource: resource}.String()
	}
	record.Action = c.service + ":" + c.operation
	if c.service == "monitoring" { // as CloudWatch's requests are signed
		record.Action, c.service = "cloudwatch:"+c.operation, "cloudwatch"
	}
	// For calls that are not known below, this is a resource that no policy should allow.
	record.Resource = "*"
	switch record.Action {
	case "lambda:Invoke":
		record.Action = "lambda:InvokeFunction"
		record.Resource = of("function:" + qualified(r))
	case "eks:DescribeCluster":
		record.Resource = of("cluster/" + c.resource)
	case "sts:AssumeRole":
		record.Resource = c.resource
		if id := c.form.Get("ExternalId"); id != "" {
			record.Context["sts:ExternalId"] = id
		}
	case "cloudwatch:DescribeAlarms":
		record.Resource = of("alarm:" + firstAlarm(r, c))
	case "sns:Publish":
		record.Resource = c.form.Get("TopicArn")
	case "states:StartExecution", "states:DescribeExecution", "states:StopExecution", "states:GetExecutionHistory":
		record.Resource = statesResource(r, record.Context)
	default:
		if c.service == "s3" {
			record.Action, record.Resource = s3Action(r)
		}
	}
	record.Context["aws:ResourceAccount"] = owner(record.Resource, principal.AccountID)
	return record, true
}

// owner returns the account of a resource. The ARN of a bucket has none; each bucket here is the caller's.
func owner(resource, caller string) string {
	if parsed, err := arn.Parse(resource); err == nil && parsed.AccountID != "" {
		return parsed.AccountID
	}
	return caller
}

// qualified returns the function that an invocation names, with its version or alias, which the ARN in IAM ends with too.
func qualified(r *http.Request) string {
	path := segments(r.URL) // 2015-03-31, functions, NAME, invocations
	name := path[2]
	if _, after, ok := strings.Cut(name, ":function:"); ok {
		name = after
	}
	if qualifier := r.URL.Query().Get("Qualifier"); qualifier != "" {
		name += ":" + qualifier
	}
	return name
}

// firstAlarm returns the first alarm that a call names: IAM allows the call for all of them or for none.
func firstAlarm(r *http.Request, c call) string {
	if name := c.form.Get("AlarmNames.member.1"); name != "" {
		return name
	}
	var input struct {
		AlarmNames []string `json:"AlarmNames"`
	}
	body, err := readBody(r)
	if err == nil {
		_ = json.Unmarshal(body, &input) // moto reports what is wrong with it
	}
	if len(input.AlarmNames) == 0 {
		return "*"
	}
	return input.AlarmNames[0]
}

// statesResource returns the execution or the state machine of a call. A policy names a state machine without its alias or
// version, which is a condition key instead: https://docs.aws.amazon.com/step-functions/latest/dg/auth-version-alias.html
func statesResource(r *http.Request, context map[string]string) string {
	var input struct {
		ExecutionARN    string `json:"executionArn"`
		StateMachineARN string `json:"stateMachineArn"`
	}
	body, err := readBody(r)
	if err == nil {
		_ = json.Unmarshal(body, &input) // moto reports what is wrong with it
	}
	if input.ExecutionARN != "" {
		return input.ExecutionARN
	}
	machine := contract.MachineARN(input.StateMachineARN)
	if qualifier := machine.Qualifier(); qualifier != "" {
		context["states:StateMachineQualifier"] = qualifier
	}
	return machine.Unqualified()
}

// s3Action returns the action and the resource of a request to S3 with the path /BUCKET/KEY:
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
func s3Action(r *http.Request) (action, resource string) {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	resource = "arn:aws:s3:::" + bucket
	if key == "" {
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			return "s3:ListBucket", resource
		}
		return "s3:" + r.Method + "Bucket", resource
	}
	resource += "/" + key
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		if r.URL.Query().Has("versionId") {
			return "s3:GetObjectVersion", resource
		}
		return "s3:GetObject", resource
	case http.MethodPut, http.MethodPost: // POST starts and completes an upload in parts
		return "s3:PutObject", resource
	}
	return "s3:" + r.Method + "Object", resource
}

// statusWriter keeps the status of the response.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *statusWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b) //nolint:wrapcheck // of the writer, for the writer
}

// Unwrap is for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
