package awsfront

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
)

// Cluster is an EKS cluster. Its name, region and account are in its ARN.
type Cluster struct {
	ARN                  string
	Status               string // ACTIVE if empty
	Version              string
	Endpoint             string
	CertificateAuthority []byte // PEM
	RoleARN              string
	AuthenticationMode   string // CONFIG_MAP if empty
	CreatedAt            time.Time
	// Enter is called with each access entry that is created; nil creates none.
	Enter func(AccessEntry) error
	Tags  map[string]string
}

// AccessEntry maps an IAM principal to Kubernetes groups.
type AccessEntry struct {
	PrincipalARN     string   `json:"principalArn"`
	KubernetesGroups []string `json:"kubernetesGroups"`
	Username         string   `json:"username"`
}

// Clusters are the clusters that EKS has. The zero value has none.
type Clusters struct {
	mu       sync.Mutex
	clusters map[string]Cluster // by ARN
}

// Put creates or updates a cluster.
func (c *Clusters) Put(cluster Cluster) error {
	parsed, err := arn.Parse(cluster.ARN)
	if err != nil || parsed.Service != "eks" || parsed.Region == "" || parsed.AccountID == "" || clusterName(cluster.ARN) == "" {
		return fmt.Errorf("%q is not the ARN of a cluster (arn:PARTITION:eks:REGION:ACCOUNT:cluster/NAME)", cluster.ARN)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.clusters == nil {
		c.clusters = map[string]Cluster{}
	}
	c.clusters[cluster.ARN] = cluster
	return nil
}

// of lists the clusters of an account in a Region, by name.
func (c *Clusters) of(account, region string) []Cluster {
	c.mu.Lock()
	defer c.mu.Unlock()
	var clusters []Cluster
	for _, cluster := range c.clusters {
		if parsed, err := arn.Parse(cluster.ARN); err == nil && parsed.AccountID == account && parsed.Region == region {
			clusters = append(clusters, cluster)
		}
	}
	slices.SortFunc(clusters, func(a, b Cluster) int { return strings.Compare(a.ARN, b.ARN) })
	return clusters
}

func clusterName(clusterARN string) string {
	_, name, _ := strings.Cut(clusterARN, ":cluster/")
	return name
}

// eksOperation reads METHOD /clusters/NAME and POST /clusters/NAME/access-entries.
func eksOperation(method string, path []string) (operation, cluster string) {
	if len(path) == 0 || path[0] != "clusters" {
		return "", ""
	}
	if len(path) > 1 {
		cluster = path[1]
	}
	switch {
	case method == http.MethodGet && len(path) == 1:
		return "ListClusters", ""
	case method == http.MethodGet && len(path) == 2:
		return "DescribeCluster", cluster
	case method == http.MethodPost && len(path) == 3 && path[2] == "access-entries":
		return "CreateAccessEntry", cluster
	}
	return "", cluster
}

func (f *Front) listClusters(w http.ResponseWriter, _ *http.Request, c call) *apiError {
	caller, err := f.caller(c)
	if err != nil {
		return unrecognized(err, "ExpiredTokenException", "UnrecognizedClientException")
	}
	names := []string{}
	for _, cluster := range f.Clusters.of(caller.Account, c.region) {
		names = append(names, clusterName(cluster.ARN))
	}
	writeJSON(w, http.StatusOK, map[string]any{"clusters": names})
	return nil
}

func (f *Front) describeCluster(w http.ResponseWriter, _ *http.Request, c call) *apiError {
	cluster, refused := f.cluster(c)
	if refused != nil {
		return refused
	}
	writeJSON(w, http.StatusOK, map[string]any{"cluster": describe(cluster)})
	return nil
}

// cluster returns the cluster that is asked for, of the caller's account.
func (f *Front) cluster(c call) (Cluster, *apiError) {
	caller, err := f.caller(c)
	if err != nil {
		return Cluster{}, unrecognized(err, "ExpiredTokenException", "UnrecognizedClientException")
	}
	for _, cluster := range f.Clusters.of(caller.Account, c.region) {
		if clusterName(cluster.ARN) == c.resource {
			return cluster, nil
		}
	}
	return Cluster{}, &apiError{http.StatusNotFound, "ResourceNotFoundException", fmt.Sprintf("No cluster found for name: %s.", c.resource)}
}

// createAccessEntry answers https://docs.aws.amazon.com/eks/latest/APIReference/API_CreateAccessEntry.html
func (f *Front) createAccessEntry(w http.ResponseWriter, r *http.Request, c call) *apiError {
	cluster, refused := f.cluster(c)
	if refused != nil {
		return refused
	}
	if cluster.Enter == nil || cluster.AuthenticationMode == "" || cluster.AuthenticationMode == "CONFIG_MAP" {
		return &apiError{http.StatusBadRequest, "InvalidRequestException", "The cluster's authentication mode must be set to one of [API, API_AND_CONFIG_MAP] to perform this operation."}
	}
	body, err := readBody(r)
	var entry AccessEntry
	if err == nil {
		err = json.Unmarshal(body, &entry)
	}
	if err != nil {
		return &apiError{http.StatusBadRequest, "InvalidParameterException", err.Error()}
	}
	if err := cluster.Enter(entry); err != nil {
		return &apiError{http.StatusBadRequest, "InvalidParameterException", err.Error()}
	}
	writeJSON(w, http.StatusOK, map[string]any{"accessEntry": map[string]any{
		"clusterName": c.resource, "principalArn": entry.PrincipalARN, "kubernetesGroups": entry.KubernetesGroups, "username": entry.Username, "type": "STANDARD",
	}})
	return nil
}

// describe is https://docs.aws.amazon.com/eks/latest/APIReference/API_Cluster.html, without what a cluster here does not have, such as
// its network.
func describe(c Cluster) map[string]any {
	tags := c.Tags
	if tags == nil {
		tags = map[string]string{}
	}
	description := map[string]any{
		"name":                 clusterName(c.ARN),
		"arn":                  c.ARN,
		"createdAt":            float64(c.CreatedAt.UnixMilli()) / 1000,
		"version":              c.Version,
		"roleArn":              c.RoleARN,
		"status":               cmp.Or(c.Status, "ACTIVE"),
		"certificateAuthority": map[string]string{},
		"tags":                 tags,
		"accessConfig":         map[string]any{"authenticationMode": cmp.Or(c.AuthenticationMode, "CONFIG_MAP")},
	}
	// A cluster that is being created has no endpoint and no CA yet.
	if c.Endpoint != "" {
		description["endpoint"] = c.Endpoint
	}
	if len(c.CertificateAuthority) > 0 {
		description["certificateAuthority"] = map[string][]byte{"data": c.CertificateAuthority}
	}
	return description
}
