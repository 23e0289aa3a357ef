//! `turnlock policy`: write, read, list and delete policies; check one before it is written.

use http::Method;
use serde_json::json;
use turnlock_agent::{Call, ClientError};
use turnlock_core::nearest;
use turnlock_core::policy::{Policy, PolicyError};

use super::{Outcome, trimmed};
use crate::args::{Connection, OutputArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::fields::{self, Machine, Source as _};
use crate::output::{Format, text_of};

/// Arguments of `turnlock policy`.
#[derive(Debug, clap::Args)]
pub(crate) struct PolicyArgs {
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Create or replace a policy
    #[command(
        after_help = "Examples:\n  turnlock policy write app app.hcl\n  turnlock policy write app - <<'END'\n  path \"secret/data/app/*\" { capabilities = [\"read\"] }\n  END"
    )]
    Write {
        /// Name of the policy
        name: String,
        /// File with the policy, or `-` for standard input
        file: String,
    },
    /// Show a policy
    #[command(after_help = "Examples:\n  turnlock policy read app")]
    Read {
        /// Name of the policy
        name: String,
    },
    /// List the policies
    #[command(after_help = "Examples:\n  turnlock policy list")]
    List,
    /// Delete a policy
    #[command(after_help = "Examples:\n  turnlock policy delete app")]
    Delete {
        /// Name of the policy
        name: String,
    },
    /// Check a policy file and indent it
    #[command(after_help = "Examples:\n  turnlock policy fmt app.hcl\n  turnlock policy fmt -check app.hcl")]
    Fmt {
        /// The file
        file: String,
        /// Change nothing; end with 1 when the file is not formatted
        #[arg(long)]
        check: bool,
    },
}

impl PolicyArgs {
    /// Does it.
    pub(crate) async fn run(self, at: &Connection) -> Outcome {
        let output = self.output.output()?;
        match self.verb {
            Verb::Write { name, file } => {
                let bytes = if file == "-" { Machine.input()? } else { Machine.file(&file)? };
                let text = std::str::from_utf8(&bytes).map_err(|_| Failure::local("the policy is not UTF-8 text"))?;
                let name = trimmed(&name).to_lowercase();
                let body = fields::body(&json!({"policy": text}))?;
                let call = Call::new(Method::PUT, format!("sys/policies/acl/{name}")).body(body);
                let reply = at.client()?.send(call).await.map_err(|error| naming_the_field(error, text))?;
                output.done(&reply, &format!("Success! Uploaded policy: {name}"))?;
            }
            Verb::Read { name } => {
                #[derive(serde::Deserialize)]
                struct Answer {
                    policy: String,
                }
                let name = trimmed(&name).to_lowercase();
                let reply = match at.client()?.read(&format!("sys/policies/acl/{name}")).await {
                    Err(ClientError::NotFound { errors }) if errors.is_empty() => {
                        return Err(Failure::remote(format!("there is no policy {name}"))
                            .hint("`turnlock policy list` shows the policies"));
                    }
                    reply => reply?,
                };
                if output.format != Format::Table {
                    output.document(text_of(reply.body())?)?;
                } else {
                    output.raw(reply.data_as::<Answer>()?.policy.as_bytes())?;
                }
            }
            Verb::List => output.plain_keys(&at.client()?.list("sys/policies/acl").await?)?,
            Verb::Delete { name } => {
                let name = trimmed(&name).to_lowercase();
                let reply = at.client()?.delete(&format!("sys/policies/acl/{name}")).await?;
                output.done(&reply, &format!("Success! Deleted policy: {name}"))?;
            }
            Verb::Fmt { file, check } => return format_file(&file, check),
        }
        Ok(Exit::Done)
    }
}

/// What the server refused, with the misspelt field's own name: the server says where it stands and repeats nothing.
fn naming_the_field(error: ClientError, text: &str) -> Failure {
    let failure = Failure::from(error);
    let name = match Policy::parse("checked", text) {
        Err(PolicyError::UnknownField { line, meant: Some(meant), .. }) => misspelt(text, line, meant),
        _ => None,
    };
    match name {
        Some(name) if failure.text().contains("unknown field") => failure.hint(format!("the field is written {name}")),
        _ => failure,
    }
}

/// The word of that line that is most like `meant`.
fn misspelt<'a>(text: &'a str, line: usize, meant: &str) -> Option<&'a str> {
    let line = text.lines().nth(line.checked_sub(1)?)?;
    nearest(meant, line.split(|character: char| !character.is_ascii_alphanumeric() && character != '_'))
}

fn format_file(file: &str, check: bool) -> Outcome {
    let bytes = Machine.file(file)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| Failure::local(format!("{file} is not UTF-8 text")))?;
    Policy::parse("checked", text).map_err(|error| Failure::local(format!("{file}: {error}")))?;
    let formatted = indented(text);
    if formatted == text {
        return Ok(Exit::Done);
    }
    if check {
        return Err(
            Failure::local(format!("{file} is not formatted")).hint(format!("`turnlock policy fmt {file}` does it"))
        );
    }
    std::fs::write(file, formatted).map_err(|error| Failure::file(file, &error))?;
    crate::output::line(&format!("Success! Formatted policy: {}", crate::output::printable(file)))?;
    Ok(Exit::Done)
}

/// `policy` with two spaces for each open bracket, no blanks at line ends and one line feed at the end. Lines stay
/// lines, so nothing of the policy's meaning or its comments can change; brackets in strings and comments do not count.
fn indented(policy: &str) -> String {
    let mut depth = 0_usize;
    let mut lines: Vec<String> = Vec::new();
    let mut heredoc: Option<String> = None;
    for line in policy.lines() {
        if let Some(end) = &heredoc {
            lines.push(line.to_owned());
            if line.trim() == end {
                heredoc = None;
            }
            continue;
        }
        let line = line.trim();
        let closing = line.chars().take_while(|character| matches!(character, '}' | ']')).count();
        let (opened, closed) = brackets(line);
        let level = depth.saturating_sub(closing);
        depth = (depth + opened).saturating_sub(closed);
        lines.push(if line.is_empty() { String::new() } else { format!("{}{line}", "  ".repeat(level)) });
        if let Some((_, word)) = line.split_once("<<") {
            let word = word.trim_start_matches('-').trim();
            if !word.is_empty() && word.chars().all(|character| character.is_ascii_alphanumeric() || character == '_') {
                heredoc = Some(word.to_owned());
            }
        }
    }
    let text = lines.join("\n");
    format!("{}\n", text.trim_end_matches('\n'))
}

fn brackets(line: &str) -> (usize, usize) {
    let (mut opened, mut closed) = (0, 0);
    let mut in_string = false;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' if in_string => {
                characters.next();
            }
            '"' => in_string = !in_string,
            '#' if !in_string => break,
            '/' if !in_string && characters.peek() == Some(&'/') => break,
            '{' | '[' if !in_string => opened += 1,
            '}' | ']' if !in_string => closed += 1,
            _ => {}
        }
    }
    (opened, closed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formatting_indents_by_brackets_and_keeps_comments() {
        let policy = "path \"a/{{x}}/[\" {  # { open\n capabilities = [\n\"read\",\n      \"list\" ]\n}\n\n\n";
        let expected = "path \"a/{{x}}/[\" {  # { open\n  capabilities = [\n    \"read\",\n    \"list\" ]\n}\n";
        assert_eq!(indented(policy), expected);
    }

    #[test]
    fn formatting_twice_changes_nothing_more() {
        let once = indented("a {\nb = 1\n}");
        assert_eq!(indented(&once), once);
    }
}
