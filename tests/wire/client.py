"""What a Python service does with hvac, against the server that VAULT_ADDR names."""
import os

import hvac
from hvac import exceptions

address, root = os.environ["VAULT_ADDR"], os.environ["VAULT_TOKEN"]
vault = hvac.Client(url=address, token=root)


def refused(kind, call, **arguments):
    try:
        call(**arguments)
    except kind:
        return
    raise AssertionError(f"{call} was not refused with {kind}")


assert vault.is_authenticated()
assert vault.sys.is_initialized() and not vault.sys.is_sealed()
assert vault.sys.read_health_status(method="GET")["sealed"] is False

# KV version 2
vault.sys.enable_secrets_engine("kv", path="secret", options={"version": "2"})
kv = vault.secrets.kv.v2
assert kv.create_or_update_secret("app/db", {"user": "svc", "password": "one"})["data"]["version"] == 1
kv.create_or_update_secret("app/db", {"user": "svc", "password": "two"}, cas=1)
refused(exceptions.InvalidRequest, kv.create_or_update_secret, path="app/db", secret={"x": "y"}, cas=1)
kv.patch("app/db", {"password": "three"})
latest = kv.read_secret_version("app/db", raise_on_deleted_version=True)["data"]
assert latest["data"] == {"user": "svc", "password": "three"} and latest["metadata"]["version"] == 3
assert kv.read_secret_version("app/db", version=1, raise_on_deleted_version=True)["data"]["data"]["password"] == "one"
kv.update_metadata("app/db", max_versions=5, custom_metadata={"owner": "team-a"})
assert kv.read_secret_metadata("app/db")["data"]["custom_metadata"] == {"owner": "team-a"}
assert kv.list_secrets("app")["data"]["keys"] == ["db"]
kv.delete_latest_version_of_secret("app/db")
deleted = kv.read_secret_version("app/db", raise_on_deleted_version=False)
assert deleted["data"]["data"] is None and deleted["data"]["metadata"]["deletion_time"]
kv.undelete_secret_versions("app/db", [3])
kv.destroy_secret_versions("app/db", [1])
assert kv.read_secret_metadata("app/db")["data"]["versions"]["1"]["destroyed"] is True
refused(exceptions.InvalidPath, kv.read_secret_version, path="app/none", raise_on_deleted_version=True)

# KV version 1
vault.sys.enable_secrets_engine("kv", path="old", options={"version": "1"})
vault.secrets.kv.v1.create_or_update_secret("a/b", {"k": "v"}, mount_point="old")
assert vault.secrets.kv.v1.read_secret("a/b", mount_point="old")["data"] == {"k": "v"}
assert vault.secrets.kv.v1.list_secrets("a", mount_point="old")["data"]["keys"] == ["b"]

# Policies and tokens
vault.sys.create_or_update_policy("app", 'path "secret/data/app/*" { capabilities = ["read"] }')
assert "app" in vault.sys.list_policies()["data"]["policies"]
made = vault.auth.token.create(policies=["app"], ttl="1h", meta={"team": "a"})["auth"]
workload = hvac.Client(url=address, token=made["client_token"])
assert workload.auth.token.lookup_self()["data"]["meta"] == {"team": "a"}
assert workload.secrets.kv.v2.read_secret_version("app/db", raise_on_deleted_version=True)["data"]["data"]["user"] == "svc"
refused(exceptions.Forbidden, workload.secrets.kv.v2.create_or_update_secret, path="app/db", secret={"a": "b"})
refused(exceptions.Forbidden, workload.sys.list_mounted_secrets_engines)
assert workload.sys.get_capabilities(["secret/data/app/db"])["secret/data/app/db"] == ["read"]
workload.auth.token.renew_self(increment="2h")
vault.auth.token.revoke_accessor(made["accessor"])
assert not workload.is_authenticated()

# AppRole
vault.sys.enable_auth_method("approle")
vault.auth.approle.create_or_update_approle("web", token_policies=["app"], token_ttl="20m", secret_id_num_uses=1)
role = vault.auth.approle.read_role_id("web")["data"]["role_id"]
secret = vault.auth.approle.generate_secret_id("web", metadata={"env": "ci"})["data"]["secret_id"]
machine = hvac.Client(url=address)
assert machine.auth.approle.login(role, secret)["auth"]["policies"] == ["app", "default"]
assert machine.secrets.kv.v2.read_secret_version("app/db", raise_on_deleted_version=True)["data"]["data"]["user"] == "svc"
refused(exceptions.InvalidRequest, hvac.Client(url=address).auth.approle.login, role_id=role, secret_id=secret)

# Wrapping
wrapped = vault.auth.approle.generate_secret_id("web", wrap_ttl="60s")["wrap_info"]["token"]
assert vault.sys.unwrap(token=wrapped)["data"]["secret_id"]
refused(exceptions.InvalidRequest, vault.sys.unwrap, token=wrapped)

# Life's end
machine.auth.token.revoke_self()
assert not machine.is_authenticated()
print("hvac: done")
