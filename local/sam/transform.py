"""Transforms a SAM template into plain CloudFormation, as AWS::Serverless-2016-10-31 does on AWS.

Reads a template from the standard input and its parameters, in JSON, from the argument, and prints JSON. On AWS,
`aws cloudformation package` has uploaded the code and the definitions to a bucket before; here their paths are keys in the bucket `local`.
"""

import json
import sys

import boto3
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

LOCAL = {"AWS::Serverless::Function": "CodeUri", "AWS::Serverless::StateMachine": "DefinitionUri"}

template = yaml_parse(sys.stdin)
for resource in template["Resources"].values():
    uri = LOCAL.get(resource["Type"])
    at = resource["Properties"].get(uri) if uri else None
    if isinstance(at, str) and "://" not in at:
        resource["Properties"][uri] = "s3://local/" + at
# The Region is required, and does not change the result.
translator = Translator({}, Parser(), boto_session=boto3.session.Session(region_name="eu-west-1"))
json.dump(translator.translate(template, json.loads(sys.argv[1]) or {}), sys.stdout, indent=1, sort_keys=True)
