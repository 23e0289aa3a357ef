//! The demonstration's folder, server process and narration.

use std::cell::Cell;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use tempfile::TempDir;
use turnlock_agent::rotator::{Generate, Rotator as _};
use zeroize::Zeroizing;

/// Why the demonstration ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    /// Something that was claimed did not happen.
    #[error("not as claimed: {0}")]
    Claim(String),
    /// A command ended otherwise than expected.
    #[error("`{command}` ended with {status}: {stderr}")]
    Command {
        /// As a user would type it.
        command: String,
        /// How it ended.
        status: String,
        /// What it said.
        stderr: String,
    },
    /// Somebody ended it.
    #[error("it was interrupted")]
    Interrupted,
    /// The machine is at fault.
    #[error("cannot {action}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
}

impl DemoError {
    /// Wraps what the operating system answered.
    pub(crate) fn io(action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { action, source }
    }
}

/// How long the server may take to start, and anything else that is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

const SECTION: Style = Style::new().bold();
const COMMAND: Style = AnsiColor::Cyan.on_default();
const GOOD: Style = AnsiColor::Green.on_default();

/// Everything the steps share. Dropping it ends the server and removes the folder.
pub(crate) struct Stage {
    folder: TempDir,
    address: String,
    token: Zeroizing<String>,
    server: Option<Child>,
    started: Instant,
    section: Cell<u32>,
}

/// The same commands with the workload's token.
pub(crate) struct Workload<'a> {
    stage: &'a Stage,
    token: Zeroizing<String>,
}

impl Stage {
    /// A folder with configuration and certificate.
    pub(crate) fn prepare() -> Result<Self, DemoError> {
        let folder =
            tempfile::Builder::new().prefix("turnlock-demo-").tempdir().map_err(DemoError::io("make a folder"))?;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(DemoError::io("find a free port"))?;
        let port = listener.local_addr().map_err(DemoError::io("find a free port"))?.port();
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned(), "localhost".to_owned()])
            .map_err(|error| DemoError::Claim(format!("a certificate can be made: {error}")))?;
        let path = |name: &str| folder.path().join(name);
        let write = |name: &str, text: &str| fs::write(path(name), text).map_err(DemoError::io("write a file"));
        write("tls.crt", &made.cert.pem())?;
        write("tls.key", &made.signing_key.serialize_pem())?;
        write(
            "turnlock.hcl",
            &format!(
                "storage \"sled\" {{\n  path = \"{}\"\n}}\n\nlistener \"tcp\" {{\n  address       = \"127.0.0.1:{port}\"\n  \
                 tls_cert_file = \"{}\"\n  tls_key_file  = \"{}\"\n}}\n\naudit \"file\" {{\n  path = \"{}\"\n}}\n\nagent {{\n  target_dirs = [\"{}\"]\n}}\n",
                path("data").display(),
                path("tls.crt").display(),
                path("tls.key").display(),
                path("audit.log").display(),
                folder.path().display(),
            ),
        )?;
        drop(listener);
        let (address, token) = (format!("https://127.0.0.1:{port}"), Zeroizing::new(String::new()));
        Ok(Self { folder, address, token, server: None, started: Instant::now(), section: Cell::new(0) })
    }

    /// The temporary folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the server and waits until it answers.
    pub(crate) async fn start_server(&mut self) -> Result<(), DemoError> {
        let config = self.folder().join("turnlock.hcl").display().to_string();
        self.show(&["server", "-config", &config], false);
        let log =
            fs::File::create(self.folder().join("server.log")).map_err(DemoError::io("write the server's log"))?;
        // Nobody is left to stop it when this process is killed.
        let own = format!("-end-with={}", std::process::id());
        let child = self.command(&["server", "-config", &config, &own], "").stdout(Stdio::null()).stderr(log).spawn();
        self.server = Some(child.map_err(DemoError::io("start the server"))?);
        // `status` ends with 2 for a sealed server that answers.
        self.wait_for("the server answers", || {
            Ok(self.command(&["status"], "").output().map_err(DemoError::io("run a command"))?.status.code() == Some(2))
        })
        .await
    }

    /// Ends the server in order.
    pub(crate) fn stop_server(&mut self) -> Result<(), DemoError> {
        let Some(mut child) = self.server.take() else { return Ok(()) };
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)
            .map_err(|error| DemoError::io("stop the server")(error.into()))?;
        let status = child.wait().map_err(DemoError::io("stop the server"))?;
        self.expect("the server ended in order", status.success())
    }

    /// Uses the root token from here on.
    pub(crate) fn become_root(&mut self, token: &serde_json::Value) -> Result<(), DemoError> {
        self.token = self.text(token)?;
        Ok(())
    }

    /// The same stage for a workload.
    pub(crate) fn as_workload(&self, token: &str) -> Workload<'_> {
        Workload { stage: self, token: Zeroizing::new(token.to_owned()) }
    }

    /// Opens a section of the narration.
    pub(crate) fn title(&self, text: &str) {
        self.section.set(self.section.get() + 1);
        anstream::println!("\n{SECTION}{}. {text}{SECTION:#}", self.section.get());
    }

    /// A line of narration.
    pub(crate) fn say(&self, text: &str) {
        anstream::println!("   {text}");
    }

    /// A claim; the demonstration ends when it does not hold.
    pub(crate) fn expect(&self, claim: &str, holds: bool) -> Result<(), DemoError> {
        if !holds {
            return Err(DemoError::Claim(claim.to_owned()));
        }
        anstream::println!("   {GOOD}✓{GOOD:#} {claim}");
        Ok(())
    }

    /// The closing line.
    pub(crate) fn finish(&self) {
        anstream::println!(
            "\n{GOOD}All as claimed{GOOD:#}, in {:.0} seconds. Nothing is left running; the folder is removed.",
            self.started.elapsed().as_secs_f64()
        );
    }

    /// Shows and runs a command that must succeed; what it printed.
    pub(crate) fn turnlock(&self, arguments: &[&str]) -> Result<String, DemoError> {
        self.run(arguments, None, &self.token, 0, true)
    }

    /// As [`Stage::turnlock`], with standard input.
    pub(crate) fn turnlock_with(&self, arguments: &[&str], input: &str) -> Result<String, DemoError> {
        self.run(arguments, Some(input), &self.token, 0, true)
    }

    /// As [`Stage::turnlock`], for a command that ends with `code`.
    pub(crate) fn exits_with(&self, code: i32, arguments: &[&str]) -> Result<String, DemoError> {
        self.run(arguments, None, &self.token, code, true)
    }

    /// Shows and runs a command that must fail; what it said.
    pub(crate) fn fails(&self, arguments: &[&str]) -> Result<String, DemoError> {
        self.fails_with(arguments, &self.token)
    }

    fn fails_with(&self, arguments: &[&str], token: &str) -> Result<String, DemoError> {
        match self.run(arguments, None, token, 0, true) {
            Ok(_) => Err(DemoError::Claim(format!("`turnlock {}` is refused", arguments.join(" ")))),
            Err(DemoError::Command { stderr, .. }) => Ok(stderr),
            Err(other) => Err(other),
        }
    }

    /// Runs a command without showing it.
    pub(crate) fn quiet(&self, arguments: &[&str]) -> Result<String, DemoError> {
        self.run(arguments, None, &self.token, 0, false)
    }

    /// Parses what a command printed.
    pub(crate) fn json(&self, text: &str) -> Result<serde_json::Value, DemoError> {
        serde_json::from_str(text).map_err(|_| DemoError::Claim("the command prints JSON".to_owned()))
    }

    /// A text in a JSON value.
    pub(crate) fn text(&self, value: &serde_json::Value) -> Result<Zeroizing<String>, DemoError> {
        let text = value.as_str().map(|text| Zeroizing::new(text.to_owned()));
        text.ok_or_else(|| DemoError::Claim("the answer has the text that was asked for".to_owned()))
    }

    /// A key like those that the payments service hands out.
    pub(crate) async fn made_up_key(&self) -> Result<Zeroizing<String>, DemoError> {
        random_key("pay_").await
    }

    /// Writes a file into the folder; its path.
    pub(crate) fn write_file(&self, name: &str, text: &str) -> Result<String, DemoError> {
        let path = self.folder().join(name);
        fs::write(&path, text).map_err(DemoError::io("write a file"))?;
        Ok(path.display().to_string())
    }

    /// Reads a file of the folder.
    pub(crate) fn read_file(&self, name: &str) -> Result<String, DemoError> {
        fs::read_to_string(self.folder().join(name)).map_err(DemoError::io("read a file"))
    }

    /// The audit file.
    pub(crate) fn audit_file(&self) -> String {
        self.folder().join("audit.log").display().to_string()
    }

    /// A real repository whose second commit holds `leaked`, and whose third one has removed it again.
    pub(crate) fn commit_to_repository(&self, leaked: &str) -> Result<String, DemoError> {
        let repository = self.folder().join("repository");
        fs::create_dir(&repository).map_err(DemoError::io("make a folder"))?;
        let settings = repository.join("settings.py");
        let step = |text: &str, message: &str| -> Result<(), DemoError> {
            fs::write(&settings, text).map_err(DemoError::io("write a file"))?;
            self.git(&repository, &["add", "settings.py"])?;
            self.git(&repository, &["commit", "-q", "-m", message])
        };
        self.git(&repository, &["init", "-q", "-b", "main"])?;
        step("DEBUG = False\n", "Add settings")?;
        step(&format!("DEBUG = True\nTOKEN = \"{leaked}\"\n"), "Try the payments service")?;
        step("DEBUG = False\n", "Clean up")?;
        self.say("three commits: the key came with the second and was removed by the third");
        Ok(repository.display().to_string())
    }

    /// Waits until no attempt of the rotation is open.
    pub(crate) async fn until_settled(&self, name: &str) -> Result<(), DemoError> {
        self.wait_for("the rotation settles", || {
            let history = self.json(&self.quiet(&["rotate", "history", "-format=json", name])?)?;
            let newest = history.pointer("/attempts/0/state").and_then(|state| state.as_str()).map(str::to_owned);
            match newest.as_deref() {
                Some("succeeded") => Ok(true),
                Some("failed" | "aborted") => Err(DemoError::Claim("the rotation succeeds".to_owned())),
                _ => Ok(false),
            }
        })
        .await
    }

    async fn wait_for(
        &self,
        what: &str,
        mut condition: impl FnMut() -> Result<bool, DemoError>,
    ) -> Result<(), DemoError> {
        let start = Instant::now();
        while !condition()? {
            if start.elapsed() > PATIENCE {
                return Err(DemoError::Claim(format!("{what} within {} seconds", PATIENCE.as_secs())));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    fn git(&self, repository: &Path, arguments: &[&str]) -> Result<(), DemoError> {
        let output = Command::new("git")
            .args(["-c", "user.name=Demo", "-c", "user.email=demo@turnlock.test", "-c", "commit.gpgsign=false", "-C"])
            .arg(repository)
            .args(arguments)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .output()
            .map_err(DemoError::io("run git"))?;
        check(&format!("git {}", arguments.join(" ")), output, 0).map(drop)
    }

    fn run(
        &self,
        arguments: &[&str],
        input: Option<&str>,
        token: &str,
        code: i32,
        shown: bool,
    ) -> Result<String, DemoError> {
        if shown {
            self.show(arguments, input.is_some());
        }
        let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
        let mut command = self.command(arguments, token);
        let mut child = command
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(DemoError::io("run a command"))?;
        if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
            stdin.write_all(input.as_bytes()).map_err(DemoError::io("write to a command"))?;
        }
        let output = child.wait_with_output().map_err(DemoError::io("run a command"))?;
        let printed = check(&format!("turnlock {}", arguments.join(" ")), output, code)?;
        if shown {
            // Answers that hold credentials are for the next step, not for the screen.
            let secret = ["init", "-field=secret_id", "-field=token"].iter().any(|word| arguments.contains(word));
            let lines = if secret { "(credentials, kept for the next steps)" } else { printed.trim_end() };
            lines
                .lines()
                .for_each(|line| anstream::println!("   {}", line.replace(|c: char| c.is_control() && c != '\t', "")));
        }
        Ok(printed)
    }

    fn show(&self, arguments: &[&str], input: bool) {
        let folder = self.folder().display().to_string();
        let quoted: Vec<String> = arguments
            .iter()
            .map(|argument| argument.replace(&folder, "."))
            .map(|argument| if argument.contains([' ', '"', '$', '*']) { format!("'{argument}'") } else { argument })
            .collect();
        let pipe = if input { "… | " } else { "" };
        anstream::println!("   {COMMAND}$ {pipe}turnlock {}{COMMAND:#}", quoted.join(" "));
    }

    /// A command with nothing of the caller's environment but what it needs.
    fn command(&self, arguments: &[&str], token: &str) -> Command {
        let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("turnlock"));
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .env("HOME", self.folder())
            .env("TURNLOCK_ADDR", &self.address)
            .env("TURNLOCK_CACERT", self.folder().join("tls.crt"))
            .current_dir(self.folder())
            .stdin(Stdio::null());
        if !token.is_empty() {
            command.env("TURNLOCK_TOKEN", token);
        }
        command
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(mut child) = self.server.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Workload<'_> {
    /// As [`Stage::turnlock`].
    pub(crate) fn turnlock(&self, arguments: &[&str]) -> Result<String, DemoError> {
        self.stage.run(arguments, None, &self.token, 0, true)
    }

    /// Shows and runs a command that must fail; what it said.
    pub(crate) fn fails(&self, arguments: &[&str]) -> Result<String, DemoError> {
        self.stage.fails_with(arguments, &self.token)
    }
}

fn check(command: &str, output: Output, code: i32) -> Result<String, DemoError> {
    if output.status.code() != Some(code) {
        let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(DemoError::Command { command: command.to_owned(), status: output.status.to_string(), stderr });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A key of 32 random characters behind `prefix`.
pub(super) async fn random_key(prefix: &str) -> Result<Zeroizing<String>, DemoError> {
    let no_random = |_| DemoError::Claim("random bytes are to be had".to_owned());
    let kind = turnlock_core::rotation::Rotator::Generate { length: 32, prefix: prefix.to_owned() };
    let key = Generate::of(&kind).map_err(no_random)?.create().await.map_err(no_random)?;
    Ok(Zeroizing::new(key.expose_str().unwrap_or_default().to_owned()))
}
