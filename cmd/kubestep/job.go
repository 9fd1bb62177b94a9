package main

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubestep/kubestep/internal/contract/runjob"
)

// jobVerb is the verb of Jobs: job run and, by the workflow's name, run-job.
func jobVerb(m machine) *cobra.Command {
	cmd := runJob(m, "job")
	cmd.Aliases = []string{m.Name}
	cmd.AddCommand(runJob(m, "run"))
	return cmd
}

// runJob is the command that runs a Job in a cluster.
func runJob(m machine, name string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   name + " [CLUSTER] -f FILE [-- ARGS...]",
		Short: m.Summary,
		Long: `Run a Kubernetes Job in an EKS cluster, and wait for its end.

CLUSTER is the name of the cluster. Leave it out if the stack has a default cluster
(its parameter ClusterName), or if --input names one. The stack must be deployed with
EnableJobs, and RBAC must let the group kubestep-job-runners run Jobs in the namespace.

The exit status is the exit code of the container because of which the Job failed. It is
1 if there is none, as for a Job that never started or ran out of time.

ARGS after -- take the place of the arguments of the container.`,
		Example: `  # Run a Job, and print the end of its log
  kubestep job run demo -n shop -f migrate.yaml --logs tail

  # Run a CronJob now, and print its lines as they come
  kubestep job run demo -n shop --from cronjob/backup --follow --log-to s3://my-bucket/logs/

  # With another version
  kubestep job run demo -n shop -f migrate.yaml --env VERSION=5.1.0`,
		SuggestFor: []string{"exec", "create"},
	}
	var o jobOptions
	start := newStarter(cmd, m, &o.request)
	start.addTarget(cmd)
	o.addFlags(cmd, start)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var wrong problems
		if at := cmd.ArgsLenAtDash(); at >= 0 {
			o.request.Args, args = args[at:], args[:at]
			start.set = append(start.set, &o.request.Args)
		}
		start.set = append(start.set, o.complete(cmd, start, &wrong)...)
		start.readTarget(args, &wrong)
		gauge, _ := start.gauge.(*jobGauge)
		gauge.out, start.plain = cmd.OutOrStdout(), o.follow
		if !o.follow {
			gauge.out = nil
		}
		err := start.start(cmd, wrong)
		if _, failed := errors.AsType[*failure](err); failed && gauge.exitCode > 0 && cmd.Context().Err() == nil {
			return exitStatus(gauge.exitCode)
		}
		return err
	}
	return cmd
}

// jobOptions are the flags of kubestep job run.
type jobOptions struct {
	request             runjob.Request
	file, from, source  string
	logTo               string
	env                 []string
	timeout, startAfter time.Duration
	follow              bool
}

func (o *jobOptions) addFlags(cmd *cobra.Command, start *starter) {
	flags := cmd.Flags()
	flags.StringVarP(&o.file, "filename", "f", "", "read the Job from this `FILE`, or from standard input if it is -")
	flags.StringVar(&o.from, "from", "", "run the template of this `cronjob/NAME` now")
	flags.StringVar(&o.source, "source", "", "read the Job from S3: `s3://BUCKET/KEY`")
	flags.StringVarP(&o.request.Namespace, "namespace", "n", "", "the `NAMESPACE` of a Job that names none, and of the CronJob (default if not set)")
	flags.StringVar(&o.request.Container, "container", "", "the `NAME` of the container that --env and ARGS are for (the first one if not set)")
	flags.StringArrayVar(&o.env, "env", nil, "set this environment variable, `NAME=VALUE`; repeat it for several. Everybody who may read the execution reads it")
	flags.DurationVar(&o.timeout, "timeout", 0, "end the Job after this `DURATION`, such as 15m (1h if not set)")
	flags.DurationVar(&o.startAfter, "start-timeout", 0, "give it up if no container has started after this `DURATION` (2m if not set)")
	flags.StringVar((*string)(&o.request.Logs), "logs", "", "what to keep of the logs: `none|tail|all` (none if not set); all needs --log-to")
	flags.StringVar(&o.logTo, "log-to", "", "write all logs to S3, below `s3://BUCKET/PREFIX`")
	flags.BoolVar(&o.follow, "follow", false, "print the lines as they come; needs --log-to")
	flags.StringVar((*string)(&o.request.Keep), "keep", "", "keep the Job once it has ended: `always|onFailure|never` (always if not set)")
	start.setFlags(map[string]any{
		"source": &o.request.Source, "namespace": &o.request.Namespace, "container": &o.request.Container, "env": &o.request.Env, "timeout": &o.request.TimeoutSeconds,
		"start-timeout": &o.request.StartSeconds, "logs": &o.request.Logs, "log-to": &o.request.Output, "keep": &o.request.Keep, "from": &o.request.CronJob,
	})
	complete(cmd, "logs", string(runjob.LogsNone), string(runjob.LogsTail), string(runjob.LogsAll))
	complete(cmd, "keep", string(runjob.KeepAlways), string(runjob.KeepOnFailure), string(runjob.KeepNever))
	for _, flag := range []string{"from", "source", "namespace", "container", "env", "timeout", "start-timeout", "log-to"} {
		complete(cmd, flag)
	}
}

// complete completes the request, and returns the addresses of the fields that it sets
// although no flag does.
func (o *jobOptions) complete(cmd *cobra.Command, start *starter, wrong *problems) (set []any) {
	flags := cmd.Flags()
	given := slices.DeleteFunc([]string{"filename", "from", "source"}, func(flag string) bool { return !flags.Changed(flag) })
	switch {
	case len(given) > 1:
		wrong.add("--%s cannot be used together", strings.Join(given, " and --"))
	case len(given) == 0 && !flags.Changed("input"):
		wrong.add("there is no Job: use --filename, --from, --source or --input")
	case flags.Changed("filename"):
		text, from := readFiles(cmd, []string{o.file}, "default", wrong)
		if start.origins = from; text != "" {
			o.request.Job, _ = encode(text) // a string encodes
			set = append(set, &o.request.Job)
		}
	case flags.Changed("from"):
		kind, name, ok := strings.Cut(o.from, "/")
		if !ok || !slices.Contains([]string{"cronjob", "cronjobs", "cj"}, strings.TrimSuffix(kind, ".batch")) {
			wrong.add("--from %q is not of the form cronjob/NAME", o.from)
		}
		o.request.CronJob = runjob.CronJob{Namespace: o.request.Namespace, Name: name}
		if o.request.Namespace == "" {
			o.request.CronJob.Namespace = "default"
		}
	case flags.Changed("source"):
		o.request.Source.Bucket, o.request.Source.Key = location("--source", o.source, "s3://BUCKET/KEY", wrong)
	}
	o.request.Env = map[string]string{}
	for _, variable := range o.env {
		name, value, ok := strings.Cut(variable, "=")
		if !ok {
			wrong.add("--env %q is not of the form NAME=VALUE", variable)
		}
		o.request.Env[name] = value
	}
	o.request.TimeoutSeconds, o.request.StartSeconds = seconds(o.timeout), seconds(o.startAfter)
	if flags.Changed("log-to") {
		o.request.Output = destination("--log-to", o.logTo, wrong)
		if o.request.Logs == "" {
			o.request.Logs = runjob.LogsAll
			set = append(set, &o.request.Logs)
		}
	}
	if o.follow && !flags.Changed("log-to") && !flags.Changed("input") {
		wrong.add("--follow reads the log where it is written to: use --log-to")
	}
	return set
}

func seconds(d time.Duration) int { return int(math.Ceil(d.Seconds())) }

// explainLog says where the log is.
func explainLog(log runjob.LogSummary) string {
	if log.Bucket == "" {
		return ""
	}
	cut := ""
	if log.Truncated {
		cut = ", which is not all of it"
	}
	return fmt.Sprintf("log: %d lines in s3://%s/%s%s\n", log.Lines, log.Bucket, log.Manifest, cut)
}
