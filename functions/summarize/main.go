// Command summarize is the function of the state Summarize.
package main

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/kubestep/kubestep/internal/fleet"
	"github.com/kubestep/kubestep/internal/task"
)

func main() {
	summarizer := fleet.Summarizer{
		Store: fleet.NewStore(task.Must(config.LoadDefaultConfig(context.Background()))),
		Now:   time.Now,
	}
	task.Start("Summarize", summarizer.Summarize)
}
