# kubestep in Terraform: a CloudFormation stack, from the files of a release in a folder.

terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

variable "release" {
  type        = string
  description = "The version, such as v1.2.3. Its files are in the folder of that name."
}

variable "bucket" {
  type        = string
  description = "An S3 bucket for the files, in the Region of the stack."
}

variable "cluster" {
  type        = string
  description = "The EKS cluster that an execution is for if its input names none."
}

locals {
  prefix = "kubestep/${var.release}/"
  parameters = {
    CodeBucket  = var.bucket
    CodePrefix  = local.prefix
    ClusterName = var.cluster
  }
}

data "aws_s3_bucket" "code" {
  bucket = var.bucket
}

resource "aws_s3_object" "release" {
  for_each    = fileset("${path.module}/${var.release}", "*")
  bucket      = var.bucket
  key         = "${local.prefix}${each.value}"
  source      = "${path.module}/${var.release}/${each.value}"
  source_hash = filesha256("${path.module}/${var.release}/${each.value}")
}

resource "aws_cloudformation_stack" "kubestep" {
  name         = "kubestep"
  template_url = "https://${data.aws_s3_bucket.code.bucket_regional_domain_name}/${local.prefix}template.yml"
  # SAM's transform is a macro, and Terraform creates the stack without a change set.
  capabilities = ["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
  parameters = merge(local.parameters, {
    # New function versions for each release and each change of a parameter.
    ReleaseId = substr(sha256(jsonencode(local.parameters)), 0, 10)
  })
  depends_on = [aws_s3_object.release]
}

# What to start executions of.
output "state_machine_arn" {
  value = aws_cloudformation_stack.kubestep.outputs["StateMachineArn"]
}

# What a policy names that allows it: IAM authorizes an alias by its machine.
output "state_machine_arn_without_alias" {
  value = aws_cloudformation_stack.kubestep.outputs["StateMachineArnWithoutAlias"]
}
