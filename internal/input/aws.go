package input

import (
	"regexp"
	"strings"

	"github.com/kubestep/kubestep/internal/contract"
)

var (
	// https://docs.aws.amazon.com/eks/latest/APIReference/API_CreateCluster.html, name
	clusterName = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z_-]{0,99}$`)
	// eu-west-1, us-gov-east-1, us-isob-east-1, eusc-de-east-1: a pattern instead of a
	// list, so that a new Region needs no release.
	region = regexp.MustCompile(`^[a-z]{2,8}(-[a-z]{2,12}){1,3}-[0-9]{1,2}$`)
	// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html: a
	// path may precede the name. IAM allows any printable character in it, of which a
	// shell takes many for commands: only what a name may have is allowed here.
	roleARN = regexp.MustCompile(`^arn:aws(-[a-z]+)*:iam::[0-9]{12}:role/([\w+=,.@/-]+/)?[\w+=,.@-]{1,64}$`)
	// https://docs.aws.amazon.com/sns/latest/api/API_CreateTopic.html, Name: a topic that is first in,
	// first out takes no message without a group.
	topicARN = regexp.MustCompile(`^arn:[a-z-]+:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+$`)
	// https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
	bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	// The characters that need no escaping anywhere; template.yml allows the same.
	// https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
	keyPrefix = regexp.MustCompile(`^[0-9A-Za-z!_.()/=-]*$`)
)

// Lengths are checked beside the patterns: a pattern that counts to 512 takes a
// function a millisecond to compile, at each cold start.
const (
	maxKeyPrefix = 512
	// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html, RoleArn
	maxRoleARN = 2048
	// maxTopicARN is of a name of 256 characters.
	maxTopicARN = 320
)

// CheckTopic adds a problem if there is a topic, and it is not the ARN of one that can be told.
func CheckTopic(f *Fields, field, topic string) {
	if topic != "" && (len(topic) > maxTopicARN || !topicARN.MatchString(topic)) {
		f.Problem(field, "%s: expected the ARN of an SNS topic without .fifo", Quote(topic))
	}
}

// Target reads clusterName, region and roleArn. defaults fill in what is missing.
func Target(f *Fields, defaults contract.Target) contract.Target {
	target := defaults
	f.String("clusterName", &target.ClusterName)
	f.String("region", &target.Region)
	f.String("roleArn", &target.RoleARN)
	switch {
	case target.ClusterName == "" && f.prefix == "":
		f.Problem("clusterName", "missing: expected the name of an EKS cluster, because the stack has no default cluster")
	case target.ClusterName == "":
		f.Problem("clusterName", "missing: expected the name of an EKS cluster") // in a list
	default:
		CheckClusterName(f, "clusterName", target.ClusterName)
	}
	CheckRegion(f, "region", target.Region)
	CheckRole(f, "roleArn", target.RoleARN)
	return target
}

// Destination reads a place in S3: an object of bucket and prefix. Its bucket is
// empty if the member is missing.
func Destination(f *Fields, key string) contract.Destination {
	var d contract.Destination
	nested, given := f.Object(key, `{"bucket": "name", "prefix": "kubestep/"}`)
	if !given {
		return d
	}
	nested.String("bucket", &d.Bucket)
	nested.String("prefix", &d.Prefix)
	switch {
	case d.Bucket == "" && d.Prefix != "":
		nested.Problem("bucket", "missing: expected the name of an S3 bucket")
	case d.Bucket != "":
		CheckBucket(nested, "bucket", d.Bucket)
	}
	if len(d.Prefix) > maxKeyPrefix || !keyPrefix.MatchString(d.Prefix) {
		nested.Problem("prefix", "%s is not a valid key prefix: expected at most 512 letters, digits and any of !_.()/=-", f.Quote(d.Prefix))
	}
	// An IAM policy and S3 compare keys as text, but many programs resolve dots.
	for _, segment := range strings.Split(d.Prefix, "/") {
		if segment == "." || segment == ".." {
			nested.Problem("prefix", "%s is not a valid key prefix: expected no segment . or ..", f.Quote(d.Prefix))
		}
	}
	return d
}

// CheckClusterName adds a problem unless name is a valid name of an EKS cluster.
func CheckClusterName(f *Fields, field, name string) {
	if !clusterName.MatchString(name) {
		f.Problem(field, "%s is not a valid EKS cluster name: expected 1 to 100 letters, digits, - and _, starting with a letter or digit", f.Quote(name))
	}
}

// CheckRegion adds a problem unless name is a valid name of an AWS Region.
func CheckRegion(f *Fields, field, name string) {
	if !region.MatchString(name) {
		f.Problem(field, "%s is not a valid AWS Region: expected one such as eu-west-1", f.Quote(name))
	}
}

// CheckRole adds a problem unless arn is a valid ARN of an IAM role, or empty.
func CheckRole(f *Fields, field, arn string) {
	if arn != "" && (len(arn) > maxRoleARN || !roleARN.MatchString(arn)) {
		f.Problem(field, "%s is not a valid ARN of an IAM role: expected one such as arn:aws:iam::111122223333:role/name, with no characters but letters, digits and any of +=,.@_/- after role/", f.Quote(arn))
	}
}

// CheckBucket adds a problem unless name is a valid name of an S3 bucket.
func CheckBucket(f *Fields, field, name string) {
	if !bucketName.MatchString(name) {
		f.Problem(field, "%s is not a valid S3 bucket name", f.Quote(name))
	}
}
