//! Logins by token.

use crate::engine::Route;

/// What the engine answers.
pub const ROUTES: &[Route] = &[];
