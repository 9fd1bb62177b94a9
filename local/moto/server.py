"""Runs moto's server with nested executions that work.

moto 5.2.5 names the fields of StartExecution and DescribeExecution in a state as boto does, executionArn, and not as Step
Functions does, ExecutionArn, and puts Python's datetimes into the state, also those of other services' answers. So startExecution.sync, .sync:2 and
aws-sdk:sfn:describeExecution fail (https://github.com/getmoto/moto/issues/10076). When moto fixes that, NestedExecution can be deleted.

moto also creates a new boto3 client for each task, which takes most of an execution's time. Here tasks share clients. And moto
calls without a role: here each call has the state machine's role, in the header that local/awsfront reads.

moto has no RedriveExecution. Here it continues with the state that ended the execution, as Step Functions does
(https://docs.aws.amazon.com/step-functions/latest/dg/redrive-executions.html). Only a Map differs: here all of its items run
again, where Step Functions runs those that have not succeeded.

moto does not stop an execution that waits for a task token: it goes on to wait, and stops once somebody has sent it. Here
StopExecution ends that wait, and what was stopped ends as ABORTED, whatever the state that was interrupted says, as it does on
Step Functions (https://docs.aws.amazon.com/step-functions/latest/apireference/API_StopExecution.html). It answers once that is so,
or after STOP_SECONDS: moto still does not leave a Lambda function before that has answered.
"""

import datetime
import functools
import sys
import threading
import time
import types

import boto3
from moto.stepfunctions.parser.asl.utils import boto_client


def _signed(aws_access_key_id, aws_secret_access_key, **kwargs):
    """Returns a client with the credentials of the environment, which local/awsfront knows, and not with moto's fake ones."""
    return boto3.client(**kwargs)


boto_client.boto3 = types.SimpleNamespace(client=_signed)

_of_thread = threading.local()


def _say_role(params, **_):
    params["headers"]["X-Kubestep-Role"] = _of_thread.role


@functools.lru_cache(maxsize=None)
def _client(region, service, make=boto_client.boto_client_for):
    client = make(region, service)
    client.meta.events.register("before-call", _say_role)
    return client


def _client_for(region, service, state_credentials):
    """Returns a client for the next calls of this thread, which runs one execution or one iteration of a Map."""
    _of_thread.role = state_credentials.role_arn
    return _client(region, service)


# This must come before the services import it.
boto_client.boto_client_for = _client_for

from moto.core.exceptions import AWSError  # noqa: E402
from moto.core.responses import ActionResult  # noqa: E402
from moto.server import main  # noqa: E402
from moto.stepfunctions.parser.api import ExecutionStatus, HistoryEventType  # noqa: E402
from moto.stepfunctions.parser.asl.eval.environment import Environment  # noqa: E402
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails  # noqa: E402
from moto.stepfunctions.parser.asl.eval.program_state import ProgramStopped  # noqa: E402
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.resource import ResourceCondition  # noqa: E402
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service import (  # noqa: E402
    StateTaskService,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_aws_sdk import (  # noqa: E402
    StateTaskServiceAwsSdk,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (  # noqa: E402
    state_task_service_sfn,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_sfn import (  # noqa: E402
    StateTaskServiceSfn,
)

from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_callback import (  # noqa: E402
    StateTaskServiceCallback,
)
from moto.stepfunctions.parser.backend.execution import Execution  # noqa: E402
from moto.stepfunctions.responses import StepFunctionResponse  # noqa: E402


def _for_boto(parameters):
    """Renames in place: StateMachineArn to stateMachineArn."""
    for name in list(parameters):
        parameters[name[0].lower() + name[1:]] = parameters.pop(name)


def _milliseconds(at):
    """Converts a time as startExecution.sync:2 does."""
    return int(at.timestamp() * 1000)


def _iso_8601(at):
    """Converts a time as the integrations of the AWS SDK do."""
    return at.astimezone(datetime.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _for_state(response, convert=_milliseconds):
    """Renames in place, executionArn to ExecutionArn, and converts times, as Step Functions does."""
    for name in list(response):
        value = response.pop(name)
        if isinstance(value, datetime.datetime):
            value = convert(value)
        elif name.endswith("Details"):  # not Input and Output, which are the caller's
            _for_state(value, convert)
        response[name[0].upper() + name[1:]] = value


def _with_texts(value):
    """Returns the value with texts in the place of times, as the integrations of the AWS SDK have them."""
    if isinstance(value, dict):
        return {name: _with_texts(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_with_texts(member) for member in value]
    return _iso_8601(value) if isinstance(value, datetime.datetime) else value


class NestedExecution:
    """Wraps StateTaskServiceSfn with the translation."""

    normalise_parameters = StateTaskServiceSfn._normalise_parameters
    eval_service_task = StateTaskServiceSfn._eval_service_task

    def _normalise_parameters(self, parameters, *args, **kwargs):
        NestedExecution.normalise_parameters(self, parameters, *args, **kwargs)
        _for_boto(parameters)

    def _normalise_response(self, response, *args, **kwargs):
        if isinstance(response, dict):
            _for_state(response)

    def _eval_service_task(self, env, **kwargs):
        NestedExecution.eval_service_task(self, env=env, **kwargs)
        _for_state(env.stack[-1])


class DescribedExecution:
    """Wraps StateTaskServiceAwsSdk with the translation, for aws-sdk:sfn."""

    eval_service_task = StateTaskServiceAwsSdk._eval_service_task

    def _eval_service_task(self, env, normalised_parameters, **kwargs):
        executions = self._get_boto_service_name() == "stepfunctions"
        if executions:
            _for_boto(normalised_parameters)
        DescribedExecution.eval_service_task(self, env=env, normalised_parameters=normalised_parameters, **kwargs)
        if executions:
            _for_state(env.stack[-1], _iso_8601)
        else:
            env.stack[-1] = _with_texts(env.stack[-1])


StateTaskServiceAwsSdk._eval_service_task = DescribedExecution._eval_service_task

for method in ("_normalise_parameters", "_normalise_response", "_eval_service_task"):
    setattr(StateTaskServiceSfn, method, getattr(NestedExecution, method))


_whole = state_task_service_sfn.to_json_str


def _to_json_str(value, **options):
    """Cuts the description of an execution that failed to the length of a cause, as Step Functions does.

    https://docs.aws.amazon.com/step-functions/latest/apireference/API_TaskFailedEventDetails.html
    """
    return _whole(value, **options) if options else _whole(value)[:32768]


state_task_service_sfn.to_json_str = _to_json_str


# How long StopExecution waits for the end, and how often a wait for a task token looks whether it was stopped.
STOP_SECONDS = 2
LOOK_SECONDS = 0.2


class StoppedExecution:
    """Wraps the classes of a running execution, so that it can be stopped while it waits for a task token."""

    wait_for_task_token = StateTaskServiceCallback._eval_wait_for_task_token
    after_eval_execution = StateTaskService._after_eval_execution
    set_error = Environment.set_error
    set_timed_out = Environment.set_timed_out
    stop = Execution.stop

    def _eval_wait_for_task_token(self, env, timeout_seconds, callback_endpoint, heartbeat_endpoint):
        looks = heartbeat_endpoint is None and self.resource.condition == ResourceCondition.WaitForTaskToken
        until = time.monotonic() + timeout_seconds
        while looks and env.is_running() and callback_endpoint.get_outcome() is None and (left := until - time.monotonic()) > 0:
            callback_endpoint.wait(min(left, LOOK_SECONDS))
        if looks and not env.is_running():
            return None  # nothing is used any more of a state that was stopped
        return StoppedExecution.wait_for_task_token(
            self,
            env=env,
            timeout_seconds=0 if looks else timeout_seconds,
            callback_endpoint=callback_endpoint,
            heartbeat_endpoint=heartbeat_endpoint,
        )

    def _after_eval_execution(self, env, **kwargs):
        if env.is_running():  # a task that was stopped has not succeeded
            StoppedExecution.after_eval_execution(self, env=env, **kwargs)

    def _set_error(self, error):
        with self._state_mutex:
            if not isinstance(self._program_state, ProgramStopped):
                StoppedExecution.set_error(self, error=error)

    def _set_timed_out(self):
        with self._state_mutex:
            if not isinstance(self._program_state, ProgramStopped):
                StoppedExecution.set_timed_out(self)

    def _stop(self, **kwargs):
        StoppedExecution.stop(self, **kwargs)
        until = time.monotonic() + STOP_SECONDS
        while self.exec_status == ExecutionStatus.RUNNING and time.monotonic() < until:
            time.sleep(0.01)


StateTaskServiceCallback._eval_wait_for_task_token = StoppedExecution._eval_wait_for_task_token
StateTaskService._after_eval_execution = StoppedExecution._after_eval_execution
Environment.set_error = StoppedExecution._set_error
Environment.set_timed_out = StoppedExecution._set_timed_out
Execution.stop = StoppedExecution._stop


class ExecutionNotRedrivable(AWSError):
    TYPE = "ExecutionNotRedrivable"
    STATUS = 400


def _redrive_execution(self):
    execution = self.stepfunction_backend.describe_execution(self._get_param("executionArn"))
    if execution.exec_status not in (ExecutionStatus.FAILED, ExecutionStatus.ABORTED, ExecutionStatus.TIMED_OUT):
        raise ExecutionNotRedrivable(f"Execution is not redrivable: it is {execution.status}")
    worker = execution.exec_worker
    env, program = worker.env, worker._get_evaluation_entrypoint()
    # What is left of the end: the state of the program, and what the last state was at.
    env._program_state = None
    env._frames.clear()
    env.stack.clear()
    env.heap.clear()
    program.start_at.start_at_name = env.states.context_object.context_object_data["State"]["Name"]
    execution.exec_status, execution.stop_date, execution.error, execution.cause = ExecutionStatus.RUNNING, None, None, None
    env.event_manager.add_event(
        context=env.event_history_context,
        event_type=HistoryEventType.ExecutionRedriven,
        event_details=EventDetails(executionRedrivenEventDetails={"redriveCount": 1}),
    )

    def go_on():
        program.eval(env)
        worker._execution_communication.terminated()

    threading.Thread(target=go_on, daemon=True).start()
    return ActionResult({"redriveDate": datetime.datetime.now(tz=datetime.timezone.utc)})


StepFunctionResponse.redrive_execution = _redrive_execution

main(sys.argv[1:])
