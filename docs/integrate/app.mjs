// kubestep in a CDK app: a nested stack, from the files of a release in a bucket.
import { createHash } from "node:crypto";
import * as cdk from "aws-cdk-lib";
import * as events from "aws-cdk-lib/aws-events";
import * as targets from "aws-cdk-lib/aws-events-targets";
import * as iam from "aws-cdk-lib/aws-iam";
import * as s3 from "aws-cdk-lib/aws-s3";
import * as sfn from "aws-cdk-lib/aws-stepfunctions";

const app = new cdk.App();
const stack = new cdk.Stack(app, "platform");

const release = app.node.getContext("release"); // v1.2.3
const bucket = s3.Bucket.fromBucketName(stack, "Code", app.node.getContext("bucket"));
const parameters = {
  CodeBucket: bucket.bucketName,
  CodePrefix: `kubestep/${release}/`,
  ClusterName: "demo",
};
const kubestep = new cdk.CfnStack(stack, "Kubestep", {
  templateUrl: bucket.urlForObject(`kubestep/${release}/template.yml`),
  parameters: {
    ...parameters,
    // New function versions for each release and each change of a parameter.
    ReleaseId: createHash("sha256").update(JSON.stringify(parameters)).digest("hex").slice(0, 10),
  },
});

// The rest of the app uses its outputs: here a rule that starts an execution when a deployment ends.
const machine = sfn.StateMachine.fromStateMachineArn(
  stack, "PodInventory", kubestep.getAtt("Outputs.StateMachineArn").toString());
// What grantStartExecution allows is not enough: it names the alias, and IAM authorizes an alias by its machine.
// https://docs.aws.amazon.com/step-functions/latest/dg/auth-version-alias.html
const role = new iam.Role(stack, "Starter", { assumedBy: new iam.ServicePrincipal("events.amazonaws.com") });
role.addToPolicy(new iam.PolicyStatement({
  actions: ["states:StartExecution"],
  resources: [kubestep.getAtt("Outputs.StateMachineArnWithoutAlias").toString()],
  conditions: { "ForAnyValue:StringEquals": { "states:StateMachineQualifier": ["live"] } },
}));
new events.Rule(stack, "AfterDeployment", {
  eventPattern: { source: ["aws.codedeploy"], detail: { state: ["SUCCESS"] } },
  targets: [new targets.SfnStateMachine(machine, { role, input: events.RuleTargetInput.fromObject({ namespaces: ["shop"] }) })],
});

app.synth();
