package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/follow"
	"github.com/kubestep/kubestep/internal/input"
)

// Of https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html:
// the size of an input, and the characters of a name that CloudWatch Logs can
// search for.
const maxInput = 262144

var executionName = regexp.MustCompile(`^[0-9A-Za-z_-]{1,80}$`)

// starter starts an execution of a workflow and shows it.
type starter struct {
	*viewer
	machine machine
	// request points to what the execution input holds beside the target. Of both, only the
	// fields that are set replace what --input holds: the machine has the defaults.
	request any
	cluster contract.Target
	// flags maps a flag to the address of the field that it sets, and set has the addresses
	// of fields that are set.
	flags map[string]any
	set   []any
	// otherwise has the addresses of fields that are set if --input does not set them.
	otherwise                    []any
	stateMachineARN, name, input string
	stack                        *stack
	// inputFlag is the flag that the input is of.
	inputFlag string
	// otherPlace says where else a large part of the input may be; empty for nowhere.
	otherPlace string
	// origins are where the objects are that were read from files.
	origins []string
}

// newStarter adds the flags of a verb that starts executions of a machine. request points
// to what its input holds beside the target.
func newStarter(cmd *cobra.Command, m machine, request any) *starter {
	s := &starter{viewer: newViewer(cmd), machine: m, request: request, flags: map[string]any{}}
	s.use(m)
	s.stack = addStack(cmd)
	cmd.Flags().StringVar(&s.stateMachineARN, "state-machine-arn", "", "use the state machine or alias of this `ARN`; "+m.Variable()+" sets it too")
	cmd.Flags().StringVar(&s.name, "name", "", "start the execution under this `NAME` (a random one if not set)")
	cmd.Flags().StringVarP(&s.input, "input", "i", "{}", "execution input as `JSON`, @FILE, or - for standard input; other flags set keys in it")
	complete(cmd, "state-machine-arn")
	complete(cmd, "name")
	return s
}

// setFlags says which field each flag sets, by its address.
func (s *starter) setFlags(fields map[string]any) { maps.Copy(s.flags, fields) }

// addTarget adds what says which cluster an execution is for: the flags here, and
// the argument in readTarget.
func (s *starter) addTarget(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.cluster.Region, "region", "", "the cluster is in this AWS `REGION` (the state machine's if not set)")
	cmd.Flags().StringVar(&s.cluster.RoleARN, "role-arn", "", "assume the IAM role of this `ARN`, for a cluster in another account")
	s.flags["region"], s.flags["role-arn"] = &s.cluster.Region, &s.cluster.RoleARN
	complete(cmd, "region")
	complete(cmd, "role-arn")
	cmd.ValidArgsFunction = completeCluster
}

// readTarget reads the cluster that the arguments name.
func (s *starter) readTarget(args []string, wrong *problems) {
	if len(args) > 0 {
		s.cluster.ClusterName = args[0]
		s.set = append(s.set, &s.cluster.ClusterName)
	}
	if len(args) > 1 {
		wrong.add("%q: expected one cluster", strings.Join(args[1:], " "))
	}
}

// start starts an execution and shows it, unless there are problems.
func (s *starter) start(cmd *cobra.Command, wrong problems) error {
	flagsAreFine := len(wrong) == 0
	arn, region := s.where(cmd, &wrong)
	for flag, field := range s.flags {
		if cmd.Flags().Changed(flag) {
			s.set = append(s.set, field)
		}
	}
	document, err := s.document(cmd.Context(), cmd.InOrStdin())
	if err != nil {
		wrong.add("%s %v", cmp.Or(s.inputFlag, "--input"), err)
	}
	if len(document) > maxInput {
		of := cmp.Or(s.inputFlag, "--input")
		if s.otherPlace != "" {
			of = "the input"
		}
		wrong.add("%s has %d bytes; Step Functions accepts %d%s", of, len(document), maxInput, s.otherPlace)
	}
	if err == nil && flagsAreFine && region != "" {
		document = string(withoutComments(json.RawMessage(document), append(slices.Clone(s.machine.request), "manifests")...))
		for _, key := range []string{"manifests", "job"} {
			if s.reword == nil && len(s.origins) > 0 {
				if p := sentPlaces(json.RawMessage(document), s.origins, key); p != nil {
					s.reword = p.of
				}
			}
		}
		if err := s.machine.readInput(arn.Execution(s.name), json.RawMessage(document)); err != nil {
			wrong.add("%v", s.reworded(err.Error()))
		}
	}
	if s.name != "" && !executionName.MatchString(s.name) {
		wrong.add("--name %q is not 1 to 80 letters, digits, - and _", s.name)
	}
	return s.show(cmd, region, wrong, func(f *follow.Follower) (follow.Execution, error) {
		asked := awsRequest{stateMachineARN: s.stateMachineARN, variable: s.machine.Variable(), name: s.name, enables: s.machine.enables()}
		execution, err := f.Start(cmd.Context(), follow.Start{StateMachineARN: s.stateMachineARN, Input: document, Name: s.name})
		if err != nil && execution.ARN == "" && cmd.Context().Err() == nil && s.line.startedNothing(err) {
			return execution, &refusal{explain(err, execution, asked)}
		}
		asked.executionARN = execution.ARN
		return execution, explain(err, execution, asked)
	})
}

// where says which state machine to start, and its Region: the one that --state-machine-arn or
// the environment names, or that of the stack.
func (s *starter) where(cmd *cobra.Command, wrong *problems) (contract.MachineARN, string) {
	if s.stateMachineARN != "" && s.stack.name != "" {
		wrong.add("--stack and --state-machine-arn cannot be used together")
	}
	if s.stateMachineARN == "" {
		s.stateMachineARN = s.stack.arn(s.machine)
	}
	if s.stateMachineARN != "" {
		return contract.MachineARN(s.stateMachineARN), parseARN("--state-machine-arn", s.stateMachineARN, "stateMachine", wrong).Region()
	}
	region := ownRegion(cmd.Context(), s.stack, ", or name the state machine with --state-machine-arn or "+s.machine.Variable(), wrong)
	if region == "" || s.connect(cmd.Context(), region, wrong) == nil {
		return "", ""
	}
	found, err := s.stack.machineARN(cmd.Context(), s.cfg, s.machine)
	if err != nil {
		wrong.add("%v", explain(err, noExecution, awsRequest{}))
		return "", ""
	}
	s.line.used.Store(false) // that asked for nothing to start
	s.stateMachineARN = string(found) + ":" + live
	return contract.MachineARN(s.stateMachineARN), region
}

// members are fields of the struct that is pointed to, by their names in JSON.
func members(of any, addresses []any) map[string]any {
	found := map[string]any{}
	value := reflect.ValueOf(of).Elem()
	for _, f := range reflect.VisibleFields(value.Type()) {
		field := value.FieldByIndex(f.Index)
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); slices.Contains(addresses, field.Addr().Interface()) {
			found[name] = field.Interface()
		}
	}
	return found
}

// document is the execution input: --input with some keys set.
func (s *starter) document(ctx context.Context, stdin io.Reader) (string, error) {
	document, err := s.input, error(nil)
	if s.inputFlag == "" {
		document, err = read(ctx, s.input, stdin)
	}
	if err != nil {
		return "", err
	}
	if err := check(document); err != nil {
		return "", err
	}
	var keys map[string]json.RawMessage
	isObject := json.Unmarshal([]byte(document), &keys) == nil && keys != nil
	set := members(s.request, s.set)
	maps.Copy(set, members(&s.cluster, s.set))
	for key, value := range members(s.request, s.otherwise) {
		if _, given := keys[key]; isObject && !given {
			set[key] = value
		}
	}
	if len(set) > 0 {
		if !isObject {
			return "", fmt.Errorf("is not a JSON object, so %s cannot be set in it", strings.Join(slices.Sorted(maps.Keys(set)), ", "))
		}
		for key, value := range set {
			if keys[key], err = encode(value); err != nil {
				return "", fmt.Errorf("cannot hold %s: %w", key, err)
			}
		}
		whole, err := encode(keys)
		if err != nil {
			return "", fmt.Errorf("cannot be written: %w", err)
		}
		document = string(whole)
	}
	return document, nil
}

// encode leaves < and > as they are: what a person typed is what the console shows.
func encode(value any) (json.RawMessage, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	return bytes.TrimSpace(b.Bytes()), err
}

// read returns what a flag holds, or what is in the file that it names. It does not wait
// beyond ctx: neither a terminal nor a pipe has to have an end.
func read(ctx context.Context, flag string, stdin io.Reader) (string, error) {
	file, isFile := strings.CutPrefix(flag, "@")
	if flag != "-" && !isFile {
		return flag, nil
	}
	var content []byte
	done := make(chan error, 1)
	go func() {
		var err error
		if isFile {
			content, err = os.ReadFile(file) //nolint:gosec // the user asks for this file
		} else {
			content, err = io.ReadAll(stdin)
		}
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			return "", fmt.Errorf("cannot be read: %w", err)
		}
		return string(content), nil
	case <-ctx.Done():
		return "", fmt.Errorf("cannot be read: %w", ctx.Err())
	}
}

// check reports where a document stops being valid JSON, and which keys are in it twice:
// before anything is set in it, which takes the last one.
func check(document string) error {
	var parsed any
	err := json.Unmarshal([]byte(document), &parsed)
	if err == nil {
		if repeated := input.Repeated(json.RawMessage(document)); len(repeated) > 0 {
			return fmt.Errorf("has keys twice: %s", strings.Join(repeated, ", "))
		}
		return nil
	}
	syntax, ok := errors.AsType[*json.SyntaxError](err)
	if !ok {
		return fmt.Errorf("is not valid JSON: %w", err)
	}
	before := document[:min(int(syntax.Offset), len(document))]
	line := strings.Count(before, "\n") + 1
	column := len(before) - strings.LastIndexByte(before, '\n') - 1
	return fmt.Errorf("is not valid JSON: line %d, character %d: %w", line, max(column, 1), err)
}
