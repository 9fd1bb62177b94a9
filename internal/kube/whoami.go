package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/kubestep/kubestep/internal/contract"
)

// The most bytes of the cluster's own words in a cause: without a bound, a user in
// many groups would push the fix out of it.
const (
	maxUserBytes   = 256
	maxGroupsBytes = 1 << 10
)

// Whoami asks the cluster which Kubernetes user the token is, for a cause that a
// person reads: if the cluster cannot be asked, it returns that instead.
// https://kubernetes.io/docs/reference/access-authn-authz/authentication/#self-subject-review
func (c *Conn) Whoami(ctx context.Context) (user, groups string) {
	// Written and read by hand: the package of its kind would add to the size of the
	// function that lists.
	answer, err := c.Post().AbsPath("/apis/authentication.k8s.io/v1/selfsubjectreviews").MaxRetries(0).
		SetHeader("Content-Type", "application/json").
		Body([]byte(`{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}`)).
		Do(ctx).Raw()
	var review struct {
		Status struct {
			UserInfo struct {
				Username string
				Groups   []string
			}
		}
	}
	if err == nil {
		err = json.Unmarshal(answer, &review)
	}
	if err != nil {
		return "unknown", contract.Clip(contract.OneLine(fmt.Sprintf("unknown (%v)", err)), maxGroupsBytes)
	}
	info := review.Status.UserInfo
	return contract.Clip(contract.OneLine(info.Username), maxUserBytes), "[" + contract.Clip(contract.OneLine(strings.Join(info.Groups, " ")), maxGroupsBytes) + "]"
}
