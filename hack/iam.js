// Decides requests as IAM does, by @cloud-copilot/iam-simulate. It reads a JSON array of requests, each with the
// statements that might allow it, and prints an array of decisions in the same order.
//
//   node iam.js <REQUESTS
//
// A request:  {"principal", "action", "resource", "account", "context", "statements": {"NAME": STATEMENT}, "trust": POLICY}
// A decision: {"result": "Allowed" | "ImplicitlyDenied" | "ExplicitlyDenied", "error": "…",
//              "allows": {"NAME": {"actions": [INDEX], "resources": [INDEX]}}}
//
// With "trust" the request is to assume a role, and that policy alone decides. Otherwise the statements alone decide:
// what the policy of a bucket or of a role in another account says is not ours.
import { text } from "node:stream/consumers";
import { runSimulation } from "@cloud-copilot/iam-simulate";

const Version = "2012-10-17";

// matching is where in a list, or a single value, an explanation has its matches.
const matching = (explained) => [explained ?? []].flat().flatMap(({ matches }, index) => (matches ? [index] : []));

async function decide({ principal, action, resource, account, context, statements, trust }) {
  const simulated = await runSimulation({
    request: { principal, action, resource: { resource, accountId: account }, contextVariables: context ?? {} },
    identityPolicies: Object.entries(statements ?? {}).map(([name, Statement]) => ({ name, policy: { Version, Statement } })),
    serviceControlPolicies: [],
    resourceControlPolicies: [],
    resourcePolicy: trust,
  }, {});
  if (simulated.resultType !== "single") {
    return { error: JSON.stringify(simulated.errors ?? `${action} on ${resource} is not one request`) };
  }
  const { identityAnalysis, resourceAnalysis } = simulated.result.analysis;
  const allows = Object.fromEntries(identityAnalysis.allowStatements.map(({ policyId, explain }) =>
    [policyId, { actions: matching(explain.actions), resources: matching(explain.resources) }]));
  return { result: (trust ? resourceAnalysis : identityAnalysis).result, allows };
}

const decisions = [];
for (const request of JSON.parse(await text(process.stdin))) decisions.push(await decide(request));
console.log(JSON.stringify(decisions));
