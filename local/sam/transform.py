"""Turns a SAM template into plain CloudFormation, as the transform AWS::Serverless-2016-10-31 does on AWS.

Reads the template named by the first argument, with the parameters that the second one holds in JSON, and prints JSON. On AWS `aws cloudformation package` has put the code and
the definition into a bucket before the transform sees them; here their paths stand for the keys in a bucket `local`.
"""

import json
import sys

import boto3
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

LOCAL = {"AWS::Serverless::Function": "CodeUri", "AWS::Serverless::StateMachine": "DefinitionUri"}

with open(sys.argv[1], encoding="utf-8") as file:
    template = yaml_parse(file)
for resource in template["Resources"].values():
    uri = LOCAL.get(resource["Type"])
    at = resource["Properties"].get(uri) if uri else None
    if isinstance(at, str) and "://" not in at:
        resource["Properties"][uri] = "s3://local/" + at
# The Region does not show in the result: it is for what depends on the partition, which is not used here.
translator = Translator({}, Parser(), boto_session=boto3.session.Session(region_name="eu-west-1"))
json.dump(translator.translate(template, json.loads(sys.argv[2]) or {}), sys.stdout, indent=1, sort_keys=True)
