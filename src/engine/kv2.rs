//! The kv2 engine.

use crate::engine::Route;

/// What the engine answers.
pub const ROUTES: &[Route] = &[];
