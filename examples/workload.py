"""A service that fetches its password at start, as any client of the protocol would: hvac, logged in by AppRole.

    TURNLOCK_ADDR=… ROLE_ID=… SECRET_ID_FILE=… python3 workload.py secret app/db

Needs hvac (PyPI). The secret_id comes in a file, so that it shows neither in the arguments nor in the environment.
"""
import os
import pathlib
import sys

import hvac

mount, path = sys.argv[1:]
client = hvac.Client(url=os.environ["TURNLOCK_ADDR"], verify=os.environ.get("TURNLOCK_CACERT", True))
client.auth.approle.login(os.environ["ROLE_ID"], pathlib.Path(os.environ["SECRET_ID_FILE"]).read_text().strip())
answer = client.secrets.kv.v2.read_secret_version(path, mount_point=mount, raise_on_deleted_version=True)["data"]
print(f"version {answer['metadata']['version']} of {mount}/{path} has the fields {', '.join(sorted(answer['data']))}")

# Not needed any more: a token that is revoked cannot leak.
client.auth.token.revoke_self()
