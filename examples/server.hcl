# A server for production: store, listeners and audit on one machine. `turnlock server -config server.hcl`
#
# The folders must belong to the user that the server runs as, and be readable by nobody else. The store makes its own.

storage "sled" {
  path = "/var/lib/turnlock/data"
}

# Workloads and operators come over TLS. HUP makes the server read renewed files.
listener "tcp" {
  address       = "127.0.0.1:8200"
  tls_cert_file = "/etc/turnlock/tls.crt"
  tls_key_file  = "/etc/turnlock/tls.key"

  # Behind a proxy: whose X-Forwarded-For is believed.
  # x_forwarded_for_authorized_addrs = ["10.0.0.0/8"]
}

# Programs on the same machine may use a socket instead: TURNLOCK_ADDR=unix:///run/turnlock/turnlock.sock
listener "unix" {
  address     = "/run/turnlock/turnlock.sock"
  socket_mode = "660"
}

# Nothing is answered without its record here. A new file is begun at this size or age; the chain of hashes goes on in it.
audit "file" {
  path            = "/var/log/turnlock/audit.log"
  rotate_bytes    = "256MiB"
  rotate_duration = "24h"
}

# Without this stanza people unseal the server with their shares. With it the machine does, with 32 bytes from systemd's
# LoadCredential=, a file ("file:///path") or a variable ("env://NAME"). `openssl rand -hex 32` makes such a key.
# seal "static" {
#   current_key = "credential://turnlock-seal"
# }

# Rotations of the agent inside the server may replace files in these folders, and in no others.
agent {
  target_dirs = ["/run/app"]
}

default_lease_ttl = "1h"
max_lease_ttl     = "768h"
