package asl_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/test/asl"
)

func TestTheDefinitionsOfTheRepositoryAreKnown(t *testing.T) {
	files, err := filepath.Glob("../../statemachine/*.asl.json")
	require.NoError(t, err)
	require.Len(t, files, 4)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		_, err = asl.Read(text)
		assert.NoError(t, err, file)
	}
}

// one is a machine of one state, and of the states that are beside it.
func one(state string, beside ...string) string {
	return fmt.Sprintf(`{"StartAt": "One", "States": {"One": %s}}`, strings.Join(append([]string{state}, beside...), ", "))
}

func TestWhatIsNotKnownIsRefused(t *testing.T) {
	const mapOf = `{"Type": "Map", "End": true, %s "ItemProcessor": {"ProcessorConfig": {"Mode": "%s", "ExecutionType": "STANDARD"}, "StartAt": "In", "States": {"In": {"Type": "Pass", "End": true}}}}`
	for sentence, c := range map[string]struct{ definition, says string }{
		"a field of the machine":         {`{"StartAt": "One", "States": {}, "Version": "1.0"}`, `unknown field "Version"`},
		"a type of state":                {one(`{"Type": "Succeed"}`), `type "Succeed" is not known`},
		"a field of a state":             {one(`{"Type": "Pass", "End": true, "Assign": {}}`), `unknown field "Assign"`},
		"a field of another type":        {one(`{"Type": "Pass", "End": true, "Seconds": 1}`), "field Seconds of a Pass"},
		"a result that is put nowhere":   {one(`{"Type": "Pass", "End": true, "ResultPath": null}`), "null of the field ResultPath"},
		"a field of a retrier":           {one(`{"Type": "Task", "End": true, "Resource": "arn:aws:states:::a:b", "Retry": [{"ErrorEquals": [], "Forever": true}]}`), `unknown field "Forever"`},
		"a comparison":                   {one(`{"Type": "Choice", "Choices": [{"Variable": "$.a", "IsPresent": true, "Next": "One"}]}`), `unknown field "IsPresent"`},
		"two comparisons":                {one(`{"Type": "Choice", "Choices": [{"Variable": "$.a", "IsNull": true, "StringEquals": "", "Next": "One"}]}`), "compares 2 times"},
		"a resource":                     {one(`{"Type": "Task", "End": true, "Resource": "arn:aws:lambda:eu-west-1:1:function:f"}`), "resource"},
		"a function":                     {one(`{"Type": "Pass", "End": true, "Parameters": {"a": {"b.$": "States.UUID()"}}}`), "States.UUID"},
		"a function in a function":       {one(`{"Type": "Pass", "End": true, "Parameters": {"a.$": "States.Array(States.UUID())"}}`), "States.UUID"},
		"too few arguments":              {one(`{"Type": "Pass", "End": true, "Parameters": {"a.$": "States.ArrayGetItem($.a)"}}`), "has 1 arguments"},
		"a path":                         {one(`{"Type": "Pass", "End": true, "Parameters": {"a.$": "$..a"}}`), `of "$..a" is not known`},
		"a filter":                       {one(`{"Type": "Wait", "End": true, "SecondsPath": "$.a[?(@.b)]"}`), "is not known"},
		"a text where a path is":         {one(`{"Type": "Pass", "End": true, "Parameters": {"a.$": "a"}}`), `"a" of "a" is not known`},
		"an escape":                      {one(`{"Type": "Pass", "End": true, "Parameters": {"a.$": "States.Format('\\'')"}}`), "is not known"},
		"a state that is not there":      {one(`{"Type": "Pass", "Next": "Two"}`), `One leads to "Two"`},
		"a catcher's state":              {one(`{"Type": "Task", "End": true, "Resource": "arn:aws:states:::a:b", "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Two"}]}`), `One leads to "Two"`},
		"neither Next nor End":           {one(`{"Type": "Pass"}`), "has not one of Next and End"},
		"branches side by side":          {one(`{"Type": "Parallel", "End": true, "Branches": [` + one(`{"Type": "Pass", "End": true}`) + "," + one(`{"Type": "Pass", "End": true}`) + `]}`), "several branches"},
		"a Map in the execution":         {one(fmt.Sprintf(mapOf, `"ItemsPath": "$",`, "INLINE")), "not DISTRIBUTED"},
		"a Map of no items":              {one(fmt.Sprintf(mapOf, ``, "DISTRIBUTED")), "not one of ItemsPath and ItemReader"},
		"items in CSV":                   {one(fmt.Sprintf(mapOf, `"ItemReader": {"Resource": "arn:aws:states:::s3:getObject", "ReaderConfig": {"InputType": "CSV"}},`, "DISTRIBUTED")), "anything but an array of JSON"},
		"what is wrong in a Map's state": {one(strings.Replace(fmt.Sprintf(mapOf, `"ItemsPath": "$",`, "DISTRIBUTED"), `"End": true}}`, `"Next": "Out"}}`, 1)), `In leads to "Out"`},
	} {
		t.Run(sentence, func(t *testing.T) {
			_, err := asl.Read([]byte(c.definition))
			require.ErrorContains(t, err, c.says)
		})
	}
}

// task is a state that asks for something.
func task(more string) string {
	return `{"Type": "Task", "Resource": "arn:${AWSPartition}:states:::lambda:invoke", "Parameters": {"FunctionName": "${OneFunctionArn}"}` + more + `}`
}

// answers are what a task gets, one after another; the last of them again and again. A time.Duration is how long it takes, and no answer.
type answers []any

func (a *answers) do(ctx context.Context, _ asl.Task) (any, error) {
	answer := (*a)[0]
	if len(*a) > 1 {
		*a = (*a)[1:]
	}
	switch answer := answer.(type) {
	case error:
		return nil, answer
	case time.Duration:
		select {
		case <-time.After(answer):
			return "late", nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	default:
		return answer, nil
	}
}

func TestMachines(t *testing.T) {
	busy, lost := asl.Error{Name: "Busy", Cause: "c"}, asl.Error{Name: "Lost", Cause: "c"}
	const caught = `, "Catch": [{"ErrorEquals": ["Lost"], "ResultPath": "$.e", "Next": "Caught"}, {"ErrorEquals": ["States.ALL"], "Next": "All"}]`
	const end = `{"Type": "Pass", "End": true}`
	handlers := []string{`"Caught": ` + end, `"All": ` + end}
	for sentence, c := range map[string]struct {
		definition, input string
		answers           answers
		output            string
		fails             error
		took              time.Duration
	}{
		"what a Pass makes takes the place of the data": {definition: one(`{"Type": "Pass", "Parameters": {"a": 1, "b.$": "$.x.y"}, "End": true}`), input: `{"x": {"y": [2]}}`, output: `{"a": 1, "b": [2]}`},
		"or a place in it":           {definition: one(`{"Type": "Pass", "InputPath": "$.x", "ResultPath": "$.z.w", "End": true}`), input: `{"x": 1}`, output: `{"x": 1, "z": {"w": 1}}`},
		"a part of it goes on":       {definition: one(`{"Type": "Pass", "OutputPath": "$.x[1]", "End": true}`), input: `{"x": [1, 2]}`, output: `2`},
		"a path into each element":   {definition: one(`{"Type": "Pass", "Parameters": {"a.$": "$.x[*].n"}, "End": true}`), input: `{"x": [{"n": 1}, {"n": 2}]}`, output: `{"a": [1, 2]}`},
		"a path into none":           {definition: one(`{"Type": "Pass", "Parameters": {"a.$": "$.x[*].n"}, "End": true}`), input: `{"x": []}`, output: `{"a": []}`},
		"functions":                  {definition: one(`{"Type": "Pass", "Parameters": {"a.$": "States.Format('{}: {}', $.t, $.n)", "b.$": "States.JsonMerge($.o, $.p, false)", "c.$": "States.ArrayGetItem(States.Array('x', $.n), 1)", "d.$": "States.StringToJson($.j)", "e.$": "States.JsonToString($.o)"}, "End": true}`), input: `{"t": "<a>", "n": 1234567, "o": {"a": 1, "b": 1}, "p": {"b": 2}, "j": "[true]"}`, output: `{"a": "<a>: 1234567", "b": {"a": 1, "b": 2}, "c": 1234567, "d": [true], "e": "{\"a\":1,\"b\":1}"}`},
		"the context":                {definition: one(`{"Type": "Pass", "Parameters": {"a.$": "$$.Execution.Id", "b.$": "$$.Execution.Input.x", "c.$": "$$.State.Name", "d.$": "$$.Execution.StartTime"}, "End": true}`), input: `{"x": 1}`, output: `{"a": "arn:one", "b": 1, "c": "One", "d": "2000-01-01T00:00:00.000Z"}`},
		"the context in a function":  {definition: one(`{"Type": "Pass", "Parameters": {"a.$": "States.Format('{}', $$.Execution.Id)"}, "End": true}`), input: `{}`, output: `{"a": "arn:one"}`},
		"a Wait takes its time":      {definition: one(`{"Type": "Wait", "Seconds": 90, "End": true}`), input: `{}`, output: `{}`, took: 90 * time.Second},
		"or what the data says":      {definition: one(`{"Type": "Wait", "SecondsPath": "$.s", "End": true}`), input: `{"s": 7}`, output: `{"s": 7}`, took: 7 * time.Second},
		"a choice":                   {definition: one(`{"Type": "Choice", "Default": "Caught", "Choices": [{"Variable": "$.a", "StringEquals": "x", "Next": "All"}, {"And": [{"Variable": "$.a", "StringMatches": "y*z"}, {"Or": [{"Variable": "$.n", "NumericGreaterThan": 2}, {"Variable": "$.b", "BooleanEquals": true}]}], "Next": "Yes"}]}`, append(handlers, `"Yes": {"Type": "Pass", "Parameters": {"yes": true}, "End": true}`)...), input: `{"a": "y, z", "n": 2, "b": true}`, output: `{"yes": true}`},
		"a choice of what is not so": {definition: one(`{"Type": "Choice", "Default": "Caught", "Choices": [{"Not": {"Variable": "$.a", "IsNull": true}, "Next": "All"}]}`, `"All": {"Type": "Pass", "OutputPath": "$.a", "End": true}`, handlers[0]), input: `{"a": "x"}`, output: `"x"`},
		"no choice":                  {definition: one(`{"Type": "Choice", "Choices": [{"Variable": "$.a", "StringEquals": "x", "Next": "One"}]}`), input: `{"a": 1}`, fails: asl.Error{Name: "States.NoChoiceMatched"}},
		"a failure":                  {definition: one(`{"Type": "Fail", "Error": "Name", "CausePath": "$.why"}`), input: `{"why": "so"}`, fails: asl.Error{Name: "Name", Cause: "so"}},
		"a task":                     {definition: one(task(`, "ResultSelector": {"r.$": "$.Payload"}, "ResultPath": "$.of", "End": true`)), input: `{}`, answers: answers{map[string]any{"Payload": 1.0}}, output: `{"of": {"r": 1}}`},
		"a task is tried again, and waits longer each time":  {definition: one(task(`, "End": true, "Retry": [{"ErrorEquals": ["Busy"], "IntervalSeconds": 2, "MaxAttempts": 3, "BackoffRate": 3, "MaxDelaySeconds": 10, "JitterStrategy": "FULL"}]`)), input: `{}`, answers: answers{busy, busy, busy, "well"}, output: `"well"`, took: (2 + 6 + 10) * time.Second},
		"each retrier counts for itself":                     {definition: one(task(`, "End": true, "Retry": [{"ErrorEquals": ["Busy"], "IntervalSeconds": 1, "MaxAttempts": 1}, {"ErrorEquals": ["States.ALL"], "MaxAttempts": 1}]`)), input: `{}`, answers: answers{busy, lost, "well"}, output: `"well"`, took: 2 * time.Second},
		"until it is not any more":                           {definition: one(task(`, "End": true, "Retry": [{"ErrorEquals": ["Busy"], "IntervalSeconds": 1, "MaxAttempts": 1}]`)), input: `{}`, answers: answers{busy}, fails: busy, took: time.Second},
		"an error is caught by its name":                     {definition: one(task(`, "End": true`+caught), handlers...), input: `{"x": 1}`, answers: answers{lost}, output: `{"x": 1, "e": {"Error": "Lost", "Cause": "c"}}`},
		"or by all":                                          {definition: one(task(`, "End": true`+caught), handlers...), input: `{"x": 1}`, answers: answers{busy}, output: `{"Error": "Busy", "Cause": "c"}`},
		"a task that takes too long":                         {definition: one(task(`, "TimeoutSeconds": 5, "End": true`+caught), handlers...), input: `{}`, answers: answers{time.Minute}, output: `{"Error": "States.Timeout", "Cause": ""}`, took: 5 * time.Second},
		"or longer than the data says":                       {definition: one(task(`, "TimeoutSecondsPath": "$.s", "End": true`)), input: `{"s": 3}`, answers: answers{time.Minute}, fails: asl.Error{Name: "States.Timeout"}, took: 3 * time.Second},
		"an execution that takes too long":                   {definition: strings.Replace(one(task(`, "End": true`+caught), handlers...), "{", `{"TimeoutSeconds": 8, `, 1), input: `{}`, answers: answers{time.Minute}, fails: asl.ErrTimedOut, took: 8 * time.Second},
		"one that is stopped":                                {definition: one(task(`, "End": true`+caught), handlers...), input: `{}`, answers: answers{asl.ErrStopped}, fails: asl.ErrStopped},
		"a Parallel has its branch's output":                 {definition: one(`{"Type": "Parallel", "OutputPath": "$[0]", "End": true, "Branches": [{"StartAt": "In", "States": {"In": {"Type": "Pass", "OutputPath": "$.x", "End": true}}}]}`), input: `{"x": 1}`, output: `1`},
		"and its retries":                                    {definition: one(`{"Type": "Parallel", "End": true, "Retry": [{"ErrorEquals": ["Busy"], "IntervalSeconds": 1}], "Branches": [{"StartAt": "In", "States": {"In": ` + task(`, "End": true`) + `}}]}`), input: `{}`, answers: answers{busy, "well"}, output: `["well"]`, took: time.Second},
		"an input that is too large":                         {definition: one(end), input: large(262_145), fails: asl.Error{Name: "States.DataLimitExceeded", Cause: "the execution: 262145 bytes"}},
		"an input that is just not":                          {definition: one(`{"Type": "Pass", "Parameters": {}, "End": true}`), input: large(262_144), output: `{}`},
		"an answer that is too large, which nothing catches": {definition: one(task(`, "End": true`+caught), handlers...), input: `{}`, answers: answers{strings.Repeat("x", 262_143)}, fails: asl.Error{Name: "States.DataLimitExceeded", Cause: "One: 262145 bytes"}},
		"whatever is escaped counts as it is written":        {definition: one(task(`, "End": true`)), input: `{}`, answers: answers{map[string]any{"a": []any{1.5, nil, true, "\"\n\x01é" + strings.Repeat("x", 262_144-38), map[string]any{}}}}, fails: asl.Error{Name: "States.DataLimitExceeded", Cause: "One: 262145 bytes"}},
		"data that get too large":                            {definition: one(`{"Type": "Pass", "Parameters": {"a.$": "$", "b.$": "$"}, "End": true}`), input: large(131_072), fails: asl.Error{Name: "States.DataLimitExceeded", Cause: "One: 262155 bytes"}},
	} {
		t.Run(sentence, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, err := asl.Read([]byte(c.definition))
				require.NoError(t, err)
				e := asl.Execution{Machine: m, ARN: "arn:one", Do: c.answers.do}
				require.NoError(t, json.Unmarshal([]byte(c.input), &e.Input))
				start := time.Now()

				output, err := e.Run(t.Context())

				assert.Equal(t, c.took, time.Since(start))
				if c.fails != nil {
					assert.Equal(t, c.fails, err)
					return
				}
				require.NoError(t, err)
				text, err := json.Marshal(output)
				require.NoError(t, err)
				assert.JSONEq(t, c.output, string(text))
			})
		})
	}
}

// large is a string of so many bytes in JSON.
func large(bytes int) string { return `"` + strings.Repeat("x", bytes-2) + `"` }

func TestAPathThatLeadsToNothingIsAFaultOfTheDefinition(t *testing.T) {
	for _, definition := range []string{
		one(`{"Type": "Pass", "Parameters": {"a.$": "$.x.z"}, "End": true}`), one(`{"Type": "Pass", "OutputPath": "$.x[1]", "End": true}`), one(`{"Type": "Wait", "SecondsPath": "$.x", "End": true}`),
		one(`{"Type": "Choice", "Choices": [{"Variable": "$.z", "IsNull": true, "Next": "One"}]}`), one(`{"Type": "Fail", "Error": "E", "CausePath": "$.x"}`), one(`{"Type": "Pass", "Parameters": {"a.$": "$$.Task.Token"}, "End": true}`),
	} {
		m, err := asl.Read([]byte(definition))
		require.NoError(t, err)
		_, err = (&asl.Execution{Machine: m, Input: map[string]any{"x": []any{1.0}}}).Run(t.Context())
		require.ErrorContains(t, err, "state One: ", definition)
		assert.NotErrorAs(t, err, &asl.Error{}, "nothing catches it")
	}
}

func TestATaskWaitsForItsToken(t *testing.T) {
	m, err := asl.Read([]byte(one(`{"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken", "Parameters": {"Payload": {"token.$": "$$.Task.Token"}}, "TimeoutSeconds": 60, "ResultPath": "$.a", "End": true}`)))
	require.NoError(t, err)
	for sentence, c := range map[string]struct {
		after time.Duration
		fails error
	}{"in time": {time.Minute - 1, nil}, "too late": {time.Minute + 1, asl.Error{Name: "States.Timeout"}}} {
		t.Run(sentence, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := &asl.Execution{Machine: m, Input: map[string]any{}}
				var again error
				e.Do = func(_ context.Context, task asl.Task) (any, error) {
					assert.Equal(t, map[string]any{"token": task.Token}, task.Parameters["Payload"])
					go func() {
						time.Sleep(c.after)
						_ = e.Resume(task.Token, "yes")
						again = e.Resume(task.Token, "no")
					}()
					return "nothing", nil
				}
				output, err := e.Run(t.Context())
				time.Sleep(time.Minute)
				assert.ErrorIs(t, again, asl.ErrNoTask)
				if c.fails != nil {
					assert.Equal(t, c.fails, err)
					return
				}
				require.NoError(t, err)
				assert.Equal(t, map[string]any{"a": "yes"}, output)
			})
		})
	}
}

// mapOf is a Map over $.items or, in S3, the items at $.key, three at a time.
func mapOf(where, tolerated string) string {
	return one(`{"Type": "Map", ` + where + `, "MaxConcurrencyPath": "$.n", "ToleratedFailureCount": ` + tolerated + `, "ResultPath": "$.out", "End": true,
		"ItemSelector": {"item.$": "$$.Map.Item.Value", "of.$": "$.n"},
		"ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, "StartAt": "In", "States": {"In": ` +
		`{"Type": "Task", "Resource": "arn:aws:states:::a:b", "Parameters": {"item.$": "$.item", "of.$": "$.of"}, "End": true}}}}`)
}

func TestAMapRunsSoManyItemsAtATime(t *testing.T) {
	const inState, inS3 = `"ItemsPath": "$.items"`, `"ItemReader": {"Resource": "arn:aws:states:::s3:getObject", "ReaderConfig": {"InputType": "JSON"}, "Parameters": {"Bucket": "b", "Key.$": "$.key"}}`
	for sentence, c := range map[string]struct {
		where, tolerated string
		fail             map[float64]bool
		out              []any
		fails            error
		begun            int
	}{
		"of the data":                 {where: inState, tolerated: "0", out: []any{0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0}, begun: 7},
		"of S3":                       {where: inS3, tolerated: "0", out: []any{10.0, 11.0, 12.0, 13.0}, begun: 4},
		"without those that may fail": {where: inState, tolerated: "2", fail: map[float64]bool{1: true, 6: true}, out: []any{0.0, 2.0, 3.0, 4.0, 5.0}, begun: 7},
		"until too many fail, and aborts what runs": {where: inState, tolerated: "0", fail: map[float64]bool{1: true}, fails: asl.Error{Name: "States.ExceedToleratedFailureThreshold"}, begun: 4},
	} {
		t.Run(sentence, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, err := asl.Read([]byte(mapOf(c.where, c.tolerated)))
				require.NoError(t, err)
				var mu sync.Mutex
				running, most, begun, aborted := 0, 0, 0, 0
				e := asl.Execution{Machine: m, Input: map[string]any{"n": 3.0, "key": "k", "items": []any{0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0}}}
				e.Object = func(_ context.Context, bucket, key string) ([]byte, error) {
					assert.Equal(t, "b/k", bucket+"/"+key)
					return []byte("[10, 11, 12, 13]"), nil
				}
				e.Do = func(ctx context.Context, task asl.Task) (any, error) {
					item := task.Parameters["item"].(float64)
					assert.Equal(t, 3.0, task.Parameters["of"])
					mu.Lock()
					running, begun = running+1, begun+1
					most = max(most, running)
					mu.Unlock()
					defer func() {
						mu.Lock()
						defer mu.Unlock()
						running--
					}()
					select {
					case <-time.After(time.Duration(1+item) * time.Second):
					case <-ctx.Done():
						mu.Lock()
						defer mu.Unlock()
						aborted++
						return nil, ctx.Err()
					}
					if c.fail[item] {
						return nil, asl.Error{Name: "Lost"}
					}
					return item, nil
				}

				output, err := e.Run(t.Context())

				assert.Equal(t, 3, most)
				assert.Equal(t, c.begun, begun)
				if c.fails != nil {
					assert.Equal(t, c.fails, err)
					assert.Equal(t, 2, aborted)
					return
				}
				require.NoError(t, err)
				assert.Equal(t, c.out, output.(map[string]any)["out"])
			})
		})
	}
}

func TestARedriveGoesOnWhereTheExecutionStood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := asl.Read([]byte(mapOf(`"ItemsPath": "$.items"`, "0")))
		require.NoError(t, err)
		ctx, stop := context.WithCancelCause(t.Context())
		done := map[float64]int{}
		var mu sync.Mutex
		e := asl.Execution{Machine: m, Input: map[string]any{"n": 2.0, "items": []any{1.0, 2.0, 3.0}}}
		e.Do = func(ctx context.Context, task asl.Task) (any, error) {
			item := task.Parameters["item"].(float64)
			mu.Lock()
			done[item]++
			mu.Unlock()
			if item == 2 && ctx.Err() == nil && done[item] == 1 {
				time.Sleep(time.Second)
				stop(asl.ErrStopped)
			}
			return item, nil
		}
		_, err = e.Run(ctx)
		require.ErrorIs(t, err, asl.ErrStopped)
		first := done[1]

		output, err := e.Redrive(t.Context())

		require.NoError(t, err)
		assert.Equal(t, []any{1.0, 2.0, 3.0}, output.(map[string]any)["out"])
		assert.Equal(t, first, done[1], "what has ended well is not repeated")
		assert.Equal(t, 2, done[2])
	})
	m, err := asl.Read([]byte(one(`{"Type": "Pass", "Next": "Two"}`, `"Two": {"Type": "Fail", "Error": "E"}`)))
	require.NoError(t, err)
	var path []string
	e := asl.Execution{Machine: m, Enters: func(state string) { path = append(path, state) }}
	_, err = e.Run(t.Context())
	require.ErrorIs(t, err, asl.Error{Name: "E"})
	_, err = e.Redrive(t.Context())
	require.ErrorIs(t, err, asl.Error{Name: "E"}, "a Fail fails again")
	assert.Equal(t, []string{"One", "Two", "Two"}, path)
}

func TestAFaultOfATaskEndsTheExecution(t *testing.T) {
	m, err := asl.Read([]byte(one(task(`, "End": true, "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "One"}]`))))
	require.NoError(t, err)
	fault := errors.New("the test is wrong")
	_, err = (&asl.Execution{Machine: m, Do: (&answers{fault}).do}).Run(t.Context())
	assert.ErrorIs(t, err, fault)
}
