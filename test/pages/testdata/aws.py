"""Reads command lines of the aws command as that command does, and calls nothing.

Standard input is a JSON list of lists of arguments. Standard output is a list with an object for each: what is wrong with it, the
operations that it would have called first, and the parameters of a stack, or of a stack set, that it would have deployed.
"""

import contextlib
import io
import json
import os
import re
import sys

os.environ.update(
    AWS_ACCESS_KEY_ID="x", AWS_SECRET_ACCESS_KEY="x", AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull,
    AWS_EC2_METADATA_DISABLED="true", AWS_DEFAULT_REGION="eu-west-1", AWS_MAX_ATTEMPTS="1", AWS_PAGER="",
)

import awscli.clidriver
import awscli.customizations.cloudformation.deploy as deploy
import awscli.customizations.s3.subcommands as s3
import botocore.endpoint

# A word that stands for what the reader puts in.
placeholder = re.compile(r"[A-Z][A-Z_]{2,}|expansion")


class Enough(BaseException):
    """The command has been read: it is about to call AWS."""


def stop(*_, **__):
    raise Enough


botocore.endpoint.Endpoint.make_request = stop
s3.CommandArchitecture.run = stop


def wrong(shape, value, at):
    """What the model of an API says against a value, beyond what the aws command checks."""
    if shape.type_name == "structure":
        return [w for name, v in value.items() for w in wrong(shape.members[name], v, f"{at}.{name}")]
    if shape.type_name == "list":
        return [w for v in value for w in wrong(shape.member, v, at)]
    if shape.type_name != "string" or not isinstance(value, str):
        return []
    if shape.enum:
        return [] if value in shape.enum else [f"{at}: {value} is not one of {shape.enum}"]
    pattern = shape.metadata.get("pattern")
    if not pattern or placeholder.search(value):
        return []
    try:
        matches = re.fullmatch(pattern, value) or re.match(pattern, value)
    except re.error:
        return []  # one of another language
    return [] if matches else [f"{at}: {value} does not match {pattern}"]


def read(arguments):
    driver = awscli.clidriver.create_clidriver()
    problems, operations, parameters = [], [], []

    def built(params, model, **_):
        operations.append(f"{model.service_model.service_name}:{model.name}")
        parameters.extend(params.get("Parameters", []) + params.get("ParameterOverrides", []) if "StackSetName" in params else [])
        if model.input_shape:
            problems.extend(wrong(model.input_shape, params, model.name))

    driver.session.register("before-parameter-build.*.*", built)

    def deployed(self, deployer, stack_name, template_str, values, *_, **__):
        parameters.extend(values)
        raise Enough

    deploy.DeployCommand.deploy = deployed
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            status = driver.main(arguments)
    except Enough:
        status = 0
    except SystemExit as e:
        status = e.code
    if status not in (0, None) and arguments[:2] != ["configure", "get"]:  # which finds nothing
        problems.append(said.getvalue().strip())
    return {"problems": problems, "operations": operations, "parameters": parameters}


json.dump([read(arguments) for arguments in json.load(sys.stdin)], sys.stdout)
