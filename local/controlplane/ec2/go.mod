module github.com/aws/aws-sdk-go-v2/service/ec2

go 1.26.0

toolchain go1.26.8

require github.com/aws/aws-sdk-go-v2 v1.48.0
