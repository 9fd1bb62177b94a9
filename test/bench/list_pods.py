"""Lists the pods of a namespace as the sample does: all of them, decoded into
objects, and their names and states printed."""
import json
import sys
import time

began = time.monotonic()
from kubernetes import client, config  # noqa: E402, the import is part of a start

config.load_kube_config(sys.argv[1])
pods = client.CoreV1Api().list_namespaced_pod(sys.argv[2])
rows = [(p.metadata.namespace, p.metadata.name, p.status.phase) for p in pods.items]
print(json.dumps({"pods": len(rows), "seconds": time.monotonic() - began}))
