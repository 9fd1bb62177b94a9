package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"github.com/kubestep/kubestep/internal/follow"
	"github.com/kubestep/kubestep/local/world"
)

// execution is what a run of the machine comes to.
type execution struct {
	transitions, largest, output int
}

func (b *bench) execution(ctx context.Context, input string) (execution, error) {
	developer, err := b.world.Developer()
	if err != nil {
		return execution{}, err
	}
	client := sfn.NewFromConfig(developer)
	follower := follow.Follower{Client: client, Interval: 100 * time.Millisecond, Out: io.Discard}
	done, err := follower.Start(ctx, follow.Start{StateMachineARN: b.world.Stack(world.StackName).StateMachineARN("pod-inventory"), Input: input})
	if err != nil {
		return execution{}, err
	}
	if done.Error != "" {
		return execution{}, fmt.Errorf("an execution ended in %s: %s", done.Error, done.Cause)
	}
	history, err := client.GetExecutionHistory(ctx, &sfn.GetExecutionHistoryInput{ExecutionArn: &done.ARN})
	if err != nil {
		return execution{}, err
	}
	e := execution{output: len(done.Output), transitions: 1} // the start counts as one
	for _, event := range history.Events {
		if event.StateEnteredEventDetails != nil {
			e.transitions++
			e.largest = max(e.largest, len(aws.ToString(event.StateEnteredEventDetails.Input)))
		}
		if event.StateExitedEventDetails != nil {
			e.largest = max(e.largest, len(aws.ToString(event.StateExitedEventDetails.Output)))
		}
	}
	return e, nil
}
