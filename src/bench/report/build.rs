//! The [`Build`] of this program: what the build script found out.

use super::Build;

impl Build {
    /// This program.
    pub fn of_this_program() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: known(env!("FFWD_BUILD_COMMIT")),
            dirty: known(env!("FFWD_BUILD_DIRTY")).map(|dirty| dirty == "true"),
            rustc: known(env!("FFWD_BUILD_RUSTC")),
            profile: if cfg!(debug_assertions) { "debug" } else { "release" }.to_owned(),
        }
    }
}

/// The value of a variable of the build; the build script leaves empty what it does not know.
fn known(value: &str) -> Option<String> {
    Some(value.to_owned()).filter(|value| !value.is_empty())
}
