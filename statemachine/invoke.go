package statemachine

// invoke makes a state a Task that sends the payload to a function, with the retries
// that every function has. template.yml substitutes the function's ARN.
//
// The resource is lambda:invoke and not the function's ARN: AWS advises it, and only
// there are Lambda's errors named alike by Step Functions and the local engine.
func invoke(function string, payload Object, s State) State {
	s.Type = Task
	s.Resource = "arn:${AWSPartition}:states:::lambda:invoke"
	s.Parameters = Object{"FunctionName": "${" + function + "FunctionArn}", "Payload": payload}
	s.Retry = taskRetries()
	return s
}

// copied is a template of those fields, each copied from the field of that name.
func copied(from string, fields ...string) Object {
	template := Object{}
	for _, field := range fields {
		template[field+".$"] = from + "." + field
	}
	return template
}

// result is the ResultSelector that takes those fields from a function's result.
func result(fields ...string) Object { return copied("$.Payload", fields...) }
