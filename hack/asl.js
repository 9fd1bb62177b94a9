// Checks a state machine's definition by two validators that each see what the other does not: asl-validator finds bad
// fields, paths and targets, amazon-states-language-service wrong values and states that are not reached.
//
//   node asl.js FILE
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const validate = require("asl-validator");
const { getLanguageService } = require("amazon-states-language-service");
const { TextDocument } = require("vscode-languageserver-textdocument");

const file = process.argv[2];
const text = readFileSync(file, "utf8");
const problems = [];

// The validator knows ARNs, and not what the template substitutes in them. It also changes what it is given.
const substituted = text.replaceAll(/\$\{(\w+)\}/g, (_, name) =>
  name === "AWSPartition" ? "aws" : `arn:aws:lambda:eu-west-1:111122223333:function:${name}`);
const { isValid, errorsText } = validate(JSON.parse(substituted));
if (!isValid) problems.push(`${file}: asl-validator: ${errorsText("\n")}`);

const service = getLanguageService({});
const document = TextDocument.create(`file:///${file}`, "asl", 1, text);
for (const { message, range } of await service.doValidation(document, service.parseJSONDocument(document))) {
  problems.push(`${file}:${range.start.line + 1}: amazon-states-language-service: ${message}`);
}

for (const problem of problems) console.error(problem);
process.exit(problems.length ? 1 : 0);
