//! `turnlock unwrap`: opens a wrapped answer.

use http::Method;
use turnlock_agent::Call;

use super::Outcome;
use crate::args::{Connection, OutputArgs};
use crate::exit::Exit;
use crate::terminal;

/// Opens a wrapped answer. It can be opened once.
///
/// The wrapping token is asked for, or read from standard input; without `-` it is the token of TURNLOCK_TOKEN.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  turnlock unwrap -                       ask for the wrapping token\n  turnlock unwrap - < wrapping-token\n  TURNLOCK_TOKEN=$wrapping turnlock unwrap"
)]
pub(crate) struct UnwrapArgs {
    /// `-` to give the wrapping token on standard input
    #[arg(value_name = "-")]
    token: Option<String>,
    /// Print this field only
    #[arg(long)]
    field: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

impl UnwrapArgs {
    /// Opens and shows.
    pub(crate) async fn run(self, at: &Connection) -> Outcome {
        let output = self.output.with_field(self.field.as_ref())?;
        terminal::only_dash(self.token.as_deref(), "wrapping token")?;
        let client = if self.token.is_some() {
            at.client_without_token()?.with_token(terminal::secret("wrapping token")?)
        } else {
            at.client()?
        };
        output.reply(&client.send(Call::new(Method::PUT, "sys/wrapping/unwrap")).await?)?;
        Ok(Exit::Done)
    }
}
