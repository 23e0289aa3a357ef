//! A real turnlock server in a temporary folder, and a plain HTTP client for it.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_turnlock");

/// How long anything may take before a test gives up on it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Whether the slow proofs run whole.
pub(crate) fn full() -> bool {
    std::env::var_os("TURNLOCK_TEST_FULL").is_some()
}

/// `whole` rounds of a slow proof when everything is asked for, else `share`.
pub(crate) fn rounds(whole: usize, share: usize) -> usize {
    if full() { whole } else { share }
}

/// Asks `condition` until it answers, for at most [`PATIENCE`].
pub(crate) async fn wait_for<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = condition().await {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "waited too long for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A server's folder, process and credentials. Dropping it kills the process and removes the folder.
pub(crate) struct Instance {
    pub(crate) dir: TempDir,
    pub(crate) address: String,
    pub(crate) port: u16,
    pub(crate) key: String,
    pub(crate) root: String,
    child: Option<Child>,
    environment: Vec<(String, String)>,
    before: &'static str,
    certificate: Option<String>,
}

impl Instance {
    /// A fresh server over plain HTTP on the loopback interface: sled, one unseal share, an audit file.
    pub(crate) async fn start() -> Self {
        Self::start_with("").await
    }

    /// As [`Instance::start`], with more lines of configuration.
    pub(crate) async fn start_with(extra: &str) -> Self {
        let mut instance = Self::prepare(extra);
        instance.spawn().await;
        instance.initialize().await;
        instance
    }

    /// As [`Instance::start`], over TLS with a certificate and key in PEM.
    #[allow(dead_code, reason = "the benches use it")]
    pub(crate) async fn start_tls(certificate: &str, key: &str) -> Self {
        let mut instance = Self::prepare("");
        instance.address = instance.address.replace("http:", "https:");
        let (cert_path, key_path) = (instance.dir.path().join("tls.crt"), instance.dir.path().join("tls.key"));
        std::fs::write(&cert_path, certificate).unwrap();
        std::fs::write(&key_path, key).unwrap();
        let config = std::fs::read_to_string(instance.dir.path().join("turnlock.hcl")).unwrap();
        let tls = format!("tls_cert_file = \"{}\" tls_key_file = \"{}\"", cert_path.display(), key_path.display());
        std::fs::write(instance.dir.path().join("turnlock.hcl"), config.replace("tls_disable = true", &tls)).unwrap();
        instance.certificate = Some(certificate.to_owned());
        instance.spawn().await;
        instance.initialize().await;
        instance
    }

    /// The folder and configuration without a process.
    pub(crate) fn prepare(extra: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("turnlock-test-").tempdir().unwrap();
        let port = free_port();
        std::fs::create_dir(dir.path().join("data")).unwrap();
        std::fs::create_dir(dir.path().join("audit")).unwrap();
        let config = format!(
            "storage \"sled\" {{ path = \"{store}\" }}\n\
             listener \"tcp\" {{ address = \"127.0.0.1:{port}\" tls_disable = true }}\n\
             audit \"file\" {{ path = \"{audit}\" }}\n{extra}\n",
            store = dir.path().join("data").display(),
            audit = dir.path().join("audit/audit.log").display(),
        );
        std::fs::write(dir.path().join("turnlock.hcl"), config).unwrap();
        Self {
            dir,
            address: format!("http://127.0.0.1:{port}"),
            key: String::new(),
            root: String::new(),
            child: None,
            environment: Vec::new(),
            before: "umask 022",
            certificate: None,
            port,
        }
    }

    /// Sets a variable of the server's environment for the next start.
    pub(crate) fn environment(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Sets what the shell does before it becomes the server the next time: its umask, its limits.
    #[allow(dead_code, reason = "the benches have no use for it")]
    pub(crate) fn before(&mut self, commands: &'static str) {
        self.before = commands;
    }

    /// Starts the process and waits until it answers.
    pub(crate) async fn spawn(&mut self) {
        self.launch();
        let api = self.api("");
        let start = Instant::now();
        while api.try_call(Method::GET, "sys/seal-status", None).await.is_none() {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().unwrap());
            assert!(ended.is_none(), "the server ended with {ended:?}: {}", self.log());
            assert!(start.elapsed() < PATIENCE, "the server does not answer: {}", self.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Starts the process and does not wait.
    pub(crate) fn launch(&mut self) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log_path()).unwrap();
        let child = Command::new("sh")
            .args(["-c", "eval \"$0\"; exec \"$@\"", self.before, BINARY, "server", "--config"])
            .arg(self.dir.path().join("turnlock.hcl"))
            .envs(self.environment.iter().cloned())
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    /// Initializes with one share and unseals.
    pub(crate) async fn initialize(&mut self) {
        let body = json!({"secret_shares": 1, "secret_threshold": 1});
        let (status, answer) = self.api("").put("sys/init", body).await;
        assert_eq!(status, 200, "{answer}");
        self.key = text(&answer["keys"][0]);
        self.root = text(&answer["root_token"]);
        self.unseal().await;
    }

    /// Submits the unseal share.
    pub(crate) async fn unseal(&self) {
        let (status, answer) = self.api("").put("sys/unseal", json!({"key": self.key})).await;
        assert_eq!((status, &answer["sealed"]), (200, &Value::Bool(false)), "{answer} {}", self.log());
    }

    /// kill -9, and waits until the process is gone.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// SIGTERM, and waits for the end.
    pub(crate) fn stop(&mut self) -> std::process::ExitStatus {
        self.signal(rustix::process::Signal::TERM);
        self.child.take().unwrap().wait().unwrap()
    }

    /// Sends a signal and does not wait.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(self.child.as_ref().unwrap());
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// The server's process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// A client with `token`; an empty one sends none.
    pub(crate) fn api(&self, token: &str) -> Api {
        Api::new(&self.address, token, self.certificate.as_deref())
    }

    /// A client with the root token.
    pub(crate) fn as_root(&self) -> Api {
        self.api(&self.root)
    }

    /// Where the process writes its log.
    pub(crate) fn log_path(&self) -> PathBuf {
        self.dir.path().join("server.log")
    }

    /// What the process has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// The audit file.
    pub(crate) fn audit_path(&self) -> PathBuf {
        self.dir.path().join("audit/audit.log")
    }

    /// A `turnlock` command that talks to this server as `token`.
    pub(crate) fn command(&self, token: &str) -> Command {
        let mut command = Command::new(BINARY);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.dir.path())
            .env("VAULT_ADDR", &self.address)
            .env("VAULT_TOKEN", token)
            .current_dir(self.dir.path())
            .stdin(Stdio::null());
        command
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A plain client: no retries, no cleverness.
#[derive(Clone)]
pub(crate) struct Api {
    http: reqwest::Client,
    address: String,
    token: String,
}

impl Api {
    pub(crate) fn new(address: &str, token: &str, certificate: Option<&str>) -> Self {
        // The process-wide provider may have been installed by another test already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let trusted = certificate.map(|pem| reqwest::Certificate::from_pem(pem.as_bytes()).unwrap());
        // The machine's own authorities are of no use here and slow to load.
        let http = reqwest::Client::builder().timeout(PATIENCE).tls_certs_only(trusted).build().unwrap();
        Self { http, address: address.to_owned(), token: token.to_owned() }
    }

    /// The token that is sent.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        self.call(Method::GET, path, None).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> (u16, Value) {
        self.call(Method::PUT, path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> (u16, Value) {
        self.call(Method::DELETE, path, None).await
    }

    pub(crate) async fn list(&self, path: &str) -> (u16, Value) {
        self.call(Method::from_bytes(b"LIST").unwrap(), path, None).await
    }

    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        self.try_call(method, path, body).await.expect("the server answers")
    }

    /// `None` when there was no whole answer.
    pub(crate) async fn try_call(&self, method: Method, path: &str, body: Option<Value>) -> Option<(u16, Value)> {
        let mut request = self.http.request(method, format!("{}/v1/{path}", self.address));
        if !self.token.is_empty() {
            request = request.header("X-Vault-Token", &self.token);
        }
        if let Some(body) = body {
            request = request.header("Content-Type", "application/json").body(body.to_string());
        }
        let answer = request.send().await.ok()?;
        let status = answer.status().as_u16();
        let body = answer.bytes().await.ok()?;
        Some((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }
}

/// A JSON text.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a text was expected, not {value}")).to_owned()
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A process that ends with the test, however that ends.
#[allow(dead_code, reason = "the benches have no use for it")]
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The search path with the binary under test in front.
#[allow(dead_code, reason = "the benches have no use for it")]
pub(crate) fn on_path() -> std::ffi::OsString {
    let tools = Path::new(BINARY).parent().unwrap().to_owned();
    let path = std::env::var_os("PATH").unwrap();
    std::env::join_paths(std::iter::once(tools).chain(std::env::split_paths(&path))).unwrap()
}

/// The top of the checkout.
pub(crate) fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}
