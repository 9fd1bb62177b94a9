package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"sigs.k8s.io/yaml"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/shell"
)

// The commands in a cause are for the cluster of the execution and for a folder with rbac/. Who
// copies one here may have another cluster in kubectl's current context, and another folder.

// repositoryURL is where kubectl finds rbac/ if it is not here.
const repositoryURL = "https://github.com/kubestep/kubestep//"

var (
	kubectlApply = regexp.MustCompile(`\bkubectl (apply|create) `)
	// kubectlCommand begins a command, be it a pipe.
	kubectlCommand = regexp.MustCompile(`\bkubectl (--context|kustomize) `)
	rbacFolder     = regexp.MustCompile(`( -k | kustomize )(rbac/[\w/-]+)`)
)

// fixes makes the commands in a cause commands for one cluster.
type fixes struct {
	cluster contract.Cluster
}

// event learns which cluster describe-cluster has found.
func (f *fixes) event(e types.HistoryEvent) {
	exited := e.StateExitedEventDetails
	if exited == nil || aws.ToString(exited.Name) != "DescribeCluster" && aws.ToString(exited.Name) != "RefreshCluster" {
		return
	}
	var document struct {
		Cluster contract.Cluster `json:"cluster"`
	}
	if json.Unmarshal([]byte(aws.ToString(exited.Output)), &document) == nil && document.Cluster.Name != "" {
		f.cluster = document.Cluster
	}
}

// of is a cause whose commands name the context of the cluster, and make it if there is none.
func (f *fixes) of(cause string) string {
	if f.cluster.Name == "" || !kubectlApply.MatchString(cause) {
		return cause
	}
	context, known := contextOf(f.cluster.Endpoint)
	if !known {
		context = f.cluster.ARN // as aws eks update-kubeconfig names it
	}
	cause = kubectlApply.ReplaceAllString(cause, "kubectl --context "+strings.ReplaceAll(shell.Quote(context), "$", "$$")+" $1 ")
	if _, err := os.Stat(filepath.Join("rbac", "namespace")); err != nil {
		cause = rbacFolder.ReplaceAllStringFunc(cause, func(found string) string {
			part := rbacFolder.FindStringSubmatch(found)
			return part[1] + shell.Quote(repositoryURL+part[2]+ref())
		})
	}
	if first := kubectlCommand.FindStringIndex(cause); !known && first != nil {
		cause = cause[:first[0]] + fmt.Sprintf("aws eks update-kubeconfig --region %s --name %s && ", shell.Quote(f.cluster.Region), shell.Quote(f.cluster.Name)) + cause[first[0]:]
	}
	return cause
}

// ref is the release in a URL of the repository; empty for a build that is none.
func ref() string {
	if version == "" {
		return ""
	}
	return "?ref=" + version
}

// contextOf is the context of kubectl whose cluster is at an endpoint. It is not known if
// there is none, or if kubectl's configuration cannot be read.
func contextOf(endpoint string) (string, bool) {
	for _, file := range kubeconfigs() {
		text, err := os.ReadFile(file) //nolint:gosec // the user's own configuration
		if err != nil {
			continue
		}
		var config struct {
			Clusters []struct {
				Name    string `json:"name"`
				Cluster struct {
					Server string `json:"server"`
				} `json:"cluster"`
			} `json:"clusters"`
			Contexts []struct {
				Name    string `json:"name"`
				Context struct {
					Cluster string `json:"cluster"`
				} `json:"context"`
			} `json:"contexts"`
		}
		if yaml.Unmarshal(text, &config) != nil {
			continue
		}
		for _, cluster := range config.Clusters {
			if !strings.EqualFold(strings.TrimSuffix(cluster.Cluster.Server, "/"), endpoint) {
				continue
			}
			for _, context := range config.Contexts {
				if context.Context.Cluster == cluster.Name {
					return context.Name, true
				}
			}
		}
	}
	return "", false
}

// kubeconfigs are the files that kubectl reads.
// https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/
func kubeconfigs() []string {
	if files := filepath.SplitList(os.Getenv("KUBECONFIG")); len(files) > 0 {
		return files
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return nil
	}
	return []string{filepath.Join(home, ".kube", "config")}
}
